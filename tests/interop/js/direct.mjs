// The JavaScript side of bench/direct.py: streams of js-libp2p, or bare data channels of node-datachannel.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { byteStream } from '@libp2p/utils'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { WebRTC } from '@multiformats/multiaddr-matcher'
import { createLibp2p } from 'libp2p'
import nodeDataChannel from 'node-datachannel'
import { emit, serve } from './lines.mjs'

const ECHO = '/bench/echo/1.0.0'
const SINK = '/bench/sink/1.0.0'
const MESSAGE = 16 * 1024
const HIGH = 1024 * 1024
const LOW = 256 * 1024

const iceServers = process.argv.slice(3).map(urls => ({ urls }))
const median = times => times.sort((a, b) => a - b)[times.length >> 1]

async function streams () {
  const node = await createLibp2p({
    addresses: { listen: ['/p2p-circuit', '/webrtc'] },
    transports: [webSockets(), webRTC({ rtcConfiguration: { iceServers } }), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping() }
  })
  await node.handle(ECHO, async stream => {
    for await (const buf of stream) {
      if (!stream.send(buf)) await stream.onDrain()
    }
    await stream.close()
  })
  await node.handle(SINK, async stream => {
    let received = 0
    for await (const buf of stream) received += buf.byteLength
    stream.send(Buffer.from(String(received)))
    await stream.close()
  })
  node.addEventListener('self:peer:update', () => {
    emit({ event: 'listening', addresses: node.getMultiaddrs().filter(ma => WebRTC.matches(ma)).map(String) })
  })
  emit({ event: 'ready', peer: String(node.peerId) })
  const open = (peer, protocol) => {
    const connection = node.getConnections().find(c => String(c.remotePeer) === peer && WebRTC.matches(c.remoteAddr))
    return connection.newStream(protocol, { signal: AbortSignal.timeout(10000) })
  }
  await serve({
    async relay ({ address }) {
      await node.dial(multiaddr(address), { signal: AbortSignal.timeout(10000) })
      return {}
    },
    async connect ({ address }) {
      await node.services.ping.ping(multiaddr(address), { signal: AbortSignal.timeout(10000) })
      return {}
    },
    async pings ({ peer, count }) {
      const stream = await open(peer, ECHO)
      const bytes = byteStream(stream)
      const times = []
      for (let i = 0; i < count; i++) {
        const started = performance.now()
        await bytes.write(Buffer.alloc(32))
        await bytes.read({ bytes: 32 })
        times.push(performance.now() - started)
      }
      await stream.close()
      return { ms: median(times) }
    },
    async send ({ peer, size }) {
      const stream = await open(peer, SINK)
      const piece = Buffer.alloc(65536)
      const started = performance.now()
      for (let at = 0; at < size; at += piece.length) {
        if (!stream.send(piece)) await stream.onDrain()
      }
      await stream.close()
      let answer = ''
      for await (const buf of stream) answer += Buffer.from(buf.subarray()).toString()
      if (Number(answer) !== size) throw new Error(`${answer} of ${size} bytes arrived`)
      return { seconds: (performance.now() - started) / 1000 }
    }
  }, () => node.stop())
}

async function channels () {
  const peer = new nodeDataChannel.PeerConnection('bench', { iceServers: [] })
  let channel, hear
  const gathered = new Promise(resolve => peer.onGatheringStateChange(state => { if (state === 'complete') resolve() }))
  const use = opened => {
    channel = opened
    let expected = 0
    let received = 0
    channel.onMessage(message => {
      if (hear != null) return hear(message)
      if (typeof message === 'string') {
        expected = Number(message)
        received = 0
      } else if (expected === 0) {
        channel.sendMessageBinary(message)
      } else if ((received += message.length) >= expected) {
        expected = 0
        channel.sendMessageBinary(Buffer.from('done'))
      }
    })
  }
  const answered = () => new Promise(resolve => { hear = message => { hear = null; resolve(message) } })
  const description = async () => {
    await gathered
    const { sdp, type } = peer.localDescription()
    return { sdp, type }
  }
  peer.onDataChannel(use)
  emit({ event: 'ready', peer: '' })
  await serve({
    async offer () {
      use(peer.createDataChannel('bench'))
      return await description()
    },
    async answer ({ sdp }) {
      peer.setRemoteDescription(sdp, 'offer')
      return await description()
    },
    async accept ({ sdp }) {
      const opened = new Promise(resolve => channel.onOpen(resolve))
      peer.setRemoteDescription(sdp, 'answer')
      await opened
      return {}
    },
    async pings ({ count }) {
      const times = []
      for (let i = 0; i < count; i++) {
        const started = performance.now()
        const back = answered()
        channel.sendMessageBinary(Buffer.alloc(32))
        await back
        times.push(performance.now() - started)
      }
      return { ms: median(times) }
    },
    async send ({ size }) {
      const piece = Buffer.alloc(MESSAGE)
      channel.setBufferedAmountLowThreshold(LOW)
      const back = answered()
      const started = performance.now()
      channel.sendMessage(String(size))
      for (let at = 0; at < size; at += MESSAGE) {
        if (channel.bufferedAmount() > HIGH) await new Promise(resolve => channel.onBufferedAmountLow(resolve))
        channel.sendMessageBinary(piece)
      }
      await back
      return { seconds: (performance.now() - started) / 1000 }
    }
  }, async () => peer.close())
}

await (process.argv[2] === 'channels' ? channels() : streams())

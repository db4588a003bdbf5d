// A js-libp2p peer in Node: the page of the example without the page, with echo and sinks to measure streams by.
import { createHash, randomBytes } from 'node:crypto'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify, identifyPush } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { byteStream } from '@libp2p/utils'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { WebRTC } from '@multiformats/multiaddr-matcher'
import { createLibp2p } from 'libp2p'
import { emit, serve } from './lines.mjs'

const CHAT = '/libp2p/examples/chat/1.0.0'
const ECHO = '/echo/1.0.0'
const options = JSON.parse(process.argv[2] ?? '{}')

const node = await createLibp2p({
  addresses: { listen: ['/p2p-circuit', '/webrtc'] },
  transports: [
    webSockets(),
    webRTC({ rtcConfiguration: { iceServers: (options.stun ?? []).map(urls => ({ urls })) } }),
    circuitRelayTransport()
  ],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionGater: { denyDialMultiaddr: () => false },
  services: { identify: identify(), identifyPush: identifyPush(), ping: ping() }
})

let chat // the stream that was opened last, by either side, as in the example

async function readChat (stream) {
  const bytes = byteStream(stream)
  chat = bytes
  for (;;) {
    const read = await bytes.read()
    if (read == null) return
    emit({ event: 'message', text: new TextDecoder().decode(read.subarray()) })
  }
}

await node.handle(CHAT, stream => readChat(stream).catch(err => emit({ event: 'chat-ended', error: err.message })))
await node.handle(ECHO, async stream => {
  for await (const buf of stream) {
    if (!stream.send(buf)) await stream.onDrain()
  }
  await stream.close()
})

const direct = () => node.getConnections().filter(c => WebRTC.matches(c.remoteAddr))

for (const name of ['connection:open', 'connection:close']) {
  node.addEventListener(name, ({ detail }) => {
    emit({ event: name, peer: String(detail.remotePeer), address: String(detail.remoteAddr), direct: WebRTC.matches(detail.remoteAddr), status: detail.status })
  })
}
node.addEventListener('self:peer:update', () => {
  emit({ event: 'listening', addresses: node.getMultiaddrs().filter(ma => WebRTC.matches(ma)).map(String) })
})
emit({ event: 'ready', peer: String(node.peerId) })

const connectionTo = peer => direct().find(c => String(c.remotePeer) === peer) ?? (() => { throw new Error(`no direct connection to ${peer}`) })()
const withTimeout = ms => ({ signal: AbortSignal.timeout(ms ?? 5000) })

await serve({
  /** Dial a relay; the reservation follows by itself. */
  async dial ({ address, timeout }) {
    const started = performance.now()
    const connection = await node.dial(multiaddr(address), withTimeout(timeout))
    return { ms: performance.now() - started, address: String(connection.remoteAddr) }
  },
  /** What the page does for a peer's address: one ping to it, which dials. */
  async connect ({ address, timeout }) {
    const started = performance.now()
    const rtt = await node.services.ping.ping(multiaddr(address), withTimeout(timeout))
    return { ms: performance.now() - started, rtt }
  },
  async ping ({ peer }) {
    const stream = node.getConnections().find(c => String(c.remotePeer) === peer)
    return { rtt: await node.services.ping.ping(stream.remotePeer, withTimeout()) }
  },
  async addresses () {
    return { addresses: node.getMultiaddrs().filter(ma => WebRTC.matches(ma)).map(String) }
  },
  async connections () {
    return { connections: node.getConnections().map(c => ({ peer: String(c.remotePeer), address: String(c.remoteAddr), direct: WebRTC.matches(c.remoteAddr), status: c.status })) }
  },
  async send ({ peer, text }) {
    if (chat == null) {
      const stream = await connectionTo(peer).newStream(CHAT, withTimeout())
      readChat(stream).catch(err => emit({ event: 'chat-ended', error: err.message }))
    }
    await chat.write(new TextEncoder().encode(text))
    return {}
  },
  /** What identify learnt of a peer. */
  async identified ({ peer }) {
    const known = await node.peerStore.get(node.getPeers().find(p => String(p) === peer))
    return {
      protocols: known.protocols,
      agent: new TextDecoder().decode(known.metadata.get('AgentVersion')),
      addresses: known.addresses.map(a => String(a.multiaddr))
    }
  },
  /** Open and close `count` echo streams, one after the other. */
  async streams ({ peer, count }) {
    for (let i = 0; i < count; i++) {
      const stream = await connectionTo(peer).newStream(ECHO, withTimeout())
      const bytes = byteStream(stream)
      await bytes.write(Buffer.from(`stream ${i}`), withTimeout())
      const back = await bytes.read(withTimeout())
      if (Buffer.from(back.subarray()).toString() !== `stream ${i}`) throw new Error(`stream ${i} came back wrong`)
      await stream.close(withTimeout())
    }
    return { count }
  },
  /** Send `size` random bytes to the peer's echo and compare what comes back. */
  async echo ({ peer, size, relayed }) {
    const connection = relayed ? node.getConnections().find(c => String(c.remotePeer) === peer) : connectionTo(peer)
    const stream = await connection.newStream(ECHO, withTimeout())
    const sent = randomBytes(size)
    const hash = createHash('sha256')
    let received = 0
    const reading = (async () => {
      for await (const buf of stream) {
        hash.update(buf.subarray())
        received += buf.byteLength
      }
    })()
    for (let at = 0; at < size; at += 65536) {
      if (!stream.send(sent.subarray(at, at + 65536))) await stream.onDrain()
    }
    await stream.close()
    await reading
    return { received, sent: createHash('sha256').update(sent).digest('hex'), back: hash.digest('hex') }
  },
  async hangup ({ peer }) {
    await Promise.all(node.getConnections().filter(c => String(c.remotePeer) === peer).map(c => c.close()))
    return {}
  }
}, () => node.stop())

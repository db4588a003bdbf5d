// The js side of bench/stack.py: nothing but WebSockets, Noise and yamux, with streams to measure them by.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { emit, serve } from './lines.mjs'

const ECHO = '/bench/echo/1.0.0'
const SINK = '/bench/sink/1.0.0'
const SOURCE = '/bench/source/1.0.0'
const PIECE = new Uint8Array(65536)
const unlimited = { maxInboundStreams: Infinity, maxOutboundStreams: Infinity }

const node = await createLibp2p({
  addresses: { listen: process.argv[2] === 'listen' ? ['/ip4/127.0.0.1/tcp/0/ws'] : [] },
  transports: [webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionManager: { inboundConnectionThreshold: 100_000 },
  connectionGater: { denyDialMultiaddr: () => false },
  // py-libp2p asks every peer who it is, the others do not.
  services: { identify: identify({ runOnConnectionOpen: false, runOnSelfUpdate: false }) }
})

async function send (stream, size) {
  for (let left = size; left > 0; left -= PIECE.length) {
    if (!stream.send(left < PIECE.length ? PIECE.subarray(0, left) : PIECE)) await stream.onDrain()
  }
}

await node.handle(ECHO, async stream => {
  for await (const buf of stream) {
    if (!stream.send(buf)) await stream.onDrain()
  }
  await stream.close()
}, unlimited)

/** Takes everything, then says one byte. */
await node.handle(SINK, async stream => {
  for await (const buf of stream) buf.byteLength // eslint-disable-line no-unused-expressions
  stream.send(new Uint8Array(1))
  await stream.close()
}, unlimited)

/** Is told how many million bytes are wanted, in four bytes, and sends them. */
await node.handle(SOURCE, async stream => {
  const request = []
  for await (const buf of stream) {
    request.push(...buf.subarray())
    if (request.length === 4) {
      await send(stream, Buffer.from(request).readUInt32BE() * 1e6)
      await stream.close()
    }
  }
}, unlimited)

emit({
  event: 'ready',
  peer: String(node.peerId),
  addresses: node.getMultiaddrs().map(String),
  version: `js-libp2p on Node ${process.versions.node}`
})

let connection
const seconds = started => (performance.now() - started) / 1e3

await serve({
  async dial ({ address }) {
    await connection?.close()
    const started = performance.now()
    connection = await node.dial(multiaddr(address))
    return { seconds: seconds(started) }
  },
  async pings ({ count }) {
    const stream = await connection.newStream(ECHO)
    const reader = stream[Symbol.asyncIterator]()
    const times = []
    for (let i = 0; i < count; i++) {
      const started = performance.now()
      stream.send(PIECE.subarray(0, 32))
      for (let got = 0; got < 32;) got += (await reader.next()).value.byteLength
      times.push(seconds(started))
    }
    await stream.close()
    return { times }
  },
  async upload ({ megabytes }) {
    const stream = await connection.newStream(SINK)
    const started = performance.now()
    await send(stream, megabytes * 1e6)
    await stream.close()
    for await (const buf of stream) buf.byteLength // eslint-disable-line no-unused-expressions
    return { seconds: seconds(started) }
  },
  async download ({ megabytes }) {
    const stream = await connection.newStream(SOURCE)
    const request = Buffer.alloc(4)
    request.writeUInt32BE(megabytes)
    const started = performance.now()
    stream.send(request)
    let got = 0
    for await (const buf of stream) {
      got += buf.byteLength
      if (got === megabytes * 1e6) break
    }
    const took = seconds(started)
    stream.close().catch(() => {})
    return { seconds: took }
  }
}, () => node.stop())

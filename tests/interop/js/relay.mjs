// The relay of the js example: WebSockets, Noise, yamux, identify and a circuit relay server, without ping.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { createLibp2p } from 'libp2p'
import { emit, serve } from './lines.mjs'

const options = JSON.parse(process.argv[2] ?? '{}')

const relay = await createLibp2p({
  addresses: { listen: [options.listen ?? '/ip4/127.0.0.1/tcp/0/ws'] },
  transports: [webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // The tests dial faster from one address than js allows by default (5 a second).
  connectionManager: { inboundConnectionThreshold: 1000, ...options.connectionManager },
  services: {
    identify: identify(),
    relay: circuitRelayServer({ reservations: { maxReservations: Infinity, ...options.reservations } })
  }
})

emit({ event: 'ready', peer: relay.peerId.toString(), addresses: relay.getMultiaddrs().map(String) })

await serve({
  async status () {
    return { connections: relay.getConnections().map(c => String(c.remoteAddr)) }
  }
}, () => relay.stop())

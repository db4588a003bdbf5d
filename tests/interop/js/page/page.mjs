// The other side of a chat, in a browser: the behaviour of js-libp2p's "webrtc private to private" page.
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

const CHAT = '/libp2p/examples/chat/1.0.0'
const PATIENCE_MS = 5000
const byId = id => document.getElementById(id)
const say = line => byId('output').append(Object.assign(document.createElement('div'), { textContent: line }))
const list = (id, texts) => byId(id).replaceChildren(...texts.map(textContent => Object.assign(document.createElement('li'), { textContent })))

const node = await createLibp2p({
  addresses: { listen: ['/p2p-circuit', '/webrtc'] },
  transports: [webSockets(), webRTC(), circuitRelayTransport()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // Browsers refuse private addresses by default; here the relay is on this machine.
  connectionGater: { denyDialMultiaddr: () => false },
  services: { identify: identify(), identifyPush: identifyPush(), ping: ping() }
})

let target
let chat

function showConnections () {
  const connections = node.getConnections()
  const direct = connections.find(c => WebRTC.matches(c.remoteAddr))
  if (direct != null) {
    target = direct.remoteAddr
    byId('send-section').hidden = false
  }
  list('connections', connections.map(c => String(c.remoteAddr)))
}
node.addEventListener('connection:open', showConnections)
node.addEventListener('connection:close', showConnections)
node.addEventListener('self:peer:update', () => {
  list('multiaddrs', node.getMultiaddrs().filter(ma => WebRTC.matches(ma)).map(String))
})

async function read (stream) {
  chat = byteStream(stream)
  for (;;) {
    const received = await chat.read()
    say(`Received message '${new TextDecoder().decode(received.subarray())}'`)
  }
}
await node.handle(CHAT, read)

byId('connect').onclick = async () => {
  const address = multiaddr(byId('peer').value)
  const signal = AbortSignal.timeout(PATIENCE_MS)
  say(`Dialing '${address}'`)
  try {
    if (WebRTC.matches(address)) {
      target = address
      const rtt = await node.services.ping.ping(address, { signal })
      say(`Connected to '${address}'`)
      say(`RTT was ${rtt}ms`)
    } else {
      await node.dial(address, { signal })
      say('Connected to relay')
    }
  } catch (err) {
    say(signal.aborted ? `Timed out connecting to '${address}'` : `Connecting to '${address}' failed - ${err.message}`)
  }
}

byId('send').onclick = async () => {
  const message = byId('message').value
  try {
    if (chat == null) {
      const stream = await node.dialProtocol(target, CHAT, { signal: AbortSignal.timeout(PATIENCE_MS) })
      read(stream).catch(err => say(`Chat stream ended - ${err.message}`))
    }
    say(`Sending message '${message}'`)
    await chat.write(new TextEncoder().encode(message))
  } catch (err) {
    say(`Error sending message - ${err.message}`)
  }
}

say(`I am ${node.peerId}`)

// What js-libp2p makes of inputs: one JSON line in, one out, in order. The differential tests compare it with ours.
import { createInterface } from 'node:readline'
import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromCID, peerIdFromMultihash, peerIdFromString } from '@libp2p/peer-id'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { multiaddr } from '@multiformats/multiaddr'
import * as Digest from 'multiformats/hashes/digest'

const hex = bytes => Buffer.from(bytes).toString('hex')
const bytes = text => new Uint8Array(Buffer.from(text, 'hex'))

const address = value => ({ text: value.toString(), hex: hex(value.bytes) })
const peer = value => ({ text: value.toString(), hex: hex(value.toMultihash().bytes), cid: value.toCID().toString() })

const kinds = {
  'multiaddr-text': input => address(multiaddr(input)),
  // Components are read lazily: the text is what makes them be looked at.
  'multiaddr-bytes': input => address(multiaddr(bytes(input))),
  'peer-text': input => peer(peerIdFromString(input)),
  'peer-bytes': input => peer(peerIdFromMultihash(Digest.decode(bytes(input)))),
  key: input => {
    const key = publicKeyFromProtobuf(bytes(input))
    return { hex: hex(key.toMultihash().bytes), kind: key.type }
  },
  'peer-record': async input => {
    const envelope = await RecordEnvelope.openAndCertify(bytes(input), PeerRecord.DOMAIN)
    const record = PeerRecord.createFromProtobuf(envelope.payload)
    return {
      text: record.peerId.toString(),
      seq: record.seqNumber.toString(),
      addresses: record.multiaddrs.map(one => one.toString())
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { kind, input } = JSON.parse(line)
  let answer
  try {
    answer = { ok: true, ...(await kinds[kind](input)) }
  } catch (err) {
    answer = { ok: false, error: String(err.message ?? err) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}

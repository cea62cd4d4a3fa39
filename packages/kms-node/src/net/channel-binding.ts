import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import type { Connection, MessageStream } from '@libp2p/interface'

/** 32 bytes: so it begins the handshake hash as it is (Noise 5.2). */
const NOISE_PROTOCOL = utf8ToBytes('Noise_XX_25519_ChaChaPoly_SHA256')
const LENGTH_BYTES = 2
const KEY_BYTES = 32
const TAG_BYTES = 16

/** Which side of a handshake this is: the initiator writes its first and third message. */
export type HandshakeSide = 'initiator' | 'responder'

/** By the timeline of the socket, the one object that libp2p hands on from a socket to the connection made of it. */
const bindings = new WeakMap<object, Uint8Array>()

/**
 * What names this connection and no other: the hash of its Noise handshake, 32 bytes (Noise 11.2, channel binding). Both ends have the
 * same, and whoever stands between two connections has another on each, as both ends' fresh keys are in it.
 * @returns undefined where the connection was not made by `wholeNoise`
 */
export const channelBindingOf = (connection: Connection): Uint8Array | undefined => bindings.get(connection.timeline)

/** Listens to a handshake from now on. Nothing is kept beyond its three messages. */
export interface HandshakeRecorder {
  /** What this side writes, each message whole. */
  sent(bytes: Uint8Array): void
  /** Only after the handshake has succeeded: until then nobody has proven to have read these messages. */
  keepBinding(): void
  stop(): void
}

export function recordHandshake(connection: MessageStream, side: HandshakeSide): HandshakeRecorder {
  const wanted = side === 'initiator' ? { out: 2, in: 1 } : { out: 1, in: 2 }
  const outgoing = createMessages(wanted.out)
  const incoming = createMessages(wanted.in)
  const onMessage = ({ data }: { readonly data: { subarray(): Uint8Array } }): void => incoming.add(data.subarray())
  connection.addEventListener('message', onMessage)
  return {
    sent: (bytes) => outgoing.add(bytes),
    keepBinding: () => {
      const [first, third] = side === 'initiator' ? outgoing.list : incoming.list
      const [second] = side === 'initiator' ? incoming.list : outgoing.list
      if (first === undefined || second === undefined || third === undefined) return
      bindings.set(connection.timeline, handshakeHash(first, second, third))
    },
    stop: () => connection.removeEventListener('message', onMessage),
  }
}

/** The h of Noise XX after its last message: every key and ciphertext on the wire, in their order (Noise 5.2 and 7.5). */
function handshakeHash(first: Uint8Array, second: Uint8Array, third: Uint8Array): Uint8Array {
  const encryptedKey = KEY_BYTES + TAG_BYTES
  const prologue = new Uint8Array(0)
  return [
    prologue,
    first.subarray(0, KEY_BYTES),
    first.subarray(KEY_BYTES),
    second.subarray(0, KEY_BYTES),
    second.subarray(KEY_BYTES, KEY_BYTES + encryptedKey),
    second.subarray(KEY_BYTES + encryptedKey),
    third.subarray(0, encryptedKey),
    third.subarray(encryptedKey),
  ].reduce((hash, part) => sha256(concatBytes(hash, part)), NOISE_PROTOCOL)
}

/** The first `count` messages of a direction, each with two bytes of length before it on the wire. */
function createMessages(count: number): { readonly list: readonly Uint8Array[]; add(bytes: Uint8Array): void } {
  const list: Uint8Array[] = []
  let rest: Uint8Array = new Uint8Array(0)
  return {
    list,
    add: (bytes) => {
      if (list.length === count) return
      rest = concatBytes(rest, bytes)
      while (list.length < count && rest.length >= LENGTH_BYTES) {
        const end = LENGTH_BYTES + new DataView(rest.buffer, rest.byteOffset).getUint16(0)
        if (rest.length < end) return
        list.push(rest.slice(LENGTH_BYTES, end))
        rest = rest.subarray(end)
      }
      if (list.length === count) rest = new Uint8Array(0)
    },
  }
}

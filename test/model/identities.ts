import { ed25519 } from '@noble/curves/ed25519.js'
import { nobleCurve } from '../../packages/dkg/src/primitives/noble-curve.ts'
import { type SignMessage, verifyEd25519, type VerifyMessage } from '../../packages/dkg/src/primitives/ed25519.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import type { Curve } from '../../packages/dkg/src/primitives/curve.ts'
import type { NodePublicKey, ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import { bytesOf, fastCurve, type Identity } from '../support/simulated-committee.ts'
import { testGroup } from './test-group.ts'

/**
 * What a run computes with. `cheap`: the test group and signatures that anyone could forge and nobody here does. `native` and `noble`:
 * the real curve and Ed25519.
 */
export type Arithmetic = 'cheap' | 'native' | 'noble'

export interface Kit {
  readonly curve: Curve
  readonly verify: VerifyMessage
  readonly identity: (index: ParticipantIndex) => Identity
}

export const kitOf = (arithmetic: Arithmetic): Kit => KITS[arithmetic]

const publicKeys = new Map<number, NodePublicKey>()
const secretOf = (index: number): Uint8Array => bytesOf('model identity', index)

/** Real keys in every kit: a roster admits no others. */
function publicKeyOf(index: number): NodePublicKey {
  const known = publicKeys.get(index)
  if (known !== undefined) return known
  const key = ed25519.getPublicKey(secretOf(index)) as NodePublicKey
  publicKeys.set(index, key)
  return key
}

/** The public key and the tagged hash that every signed message ends with (protocol 3): it binds both, and costs nothing. */
function cheapSignature(publicKey: Uint8Array, message: Uint8Array): Uint8Array {
  const signature = new Uint8Array(64)
  signature.set(publicKey)
  signature.set(message.subarray(-32), 32)
  return signature
}

function cheapVerify(publicKey: NodePublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false
  const start = message.length - 32
  for (let at = 0; at < 32; at++)
    if (signature[at] !== publicKey[at] || signature[32 + at] !== message[start + at]) return false
  return true
}

/** n nodes check one message n times: the answer is the same, and takes milliseconds each time. */
function remembered(verify: VerifyMessage): VerifyMessage {
  let answers = new Map<string, boolean>()
  return (publicKey, message, signature) => {
    const key = Buffer.concat([publicKey, signature, message]).toString('latin1')
    const known = answers.get(key)
    if (known !== undefined) return known
    if (answers.size > 20_000) answers = new Map()
    const answer = verify(publicKey, message, signature)
    answers.set(key, answer)
    return answer
  }
}

const kit = (curve: Curve, verify: VerifyMessage, signer: (index: number) => SignMessage): Kit => ({
  curve,
  verify,
  identity: (index) => ({ index: participantIndex(index), publicKey: publicKeyOf(index), sign: signer(index) }),
})

const realSigner =
  (index: number): SignMessage =>
  (message) =>
    ed25519.sign(message, secretOf(index))
const cheapSigner =
  (index: number): SignMessage =>
  (message) =>
    cheapSignature(publicKeyOf(index), message)

const realVerify = remembered(verifyEd25519)
const KITS: Readonly<Record<Arithmetic, Kit>> = {
  cheap: kit(testGroup, cheapVerify, cheapSigner),
  native: kit(fastCurve, realVerify, realSigner),
  noble: kit(nobleCurve, realVerify, realSigner),
}

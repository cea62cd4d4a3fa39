import { encodeNoxAuthorization } from '../../packages/dkg/src/decrypt/nox-authorization.ts'
import { encodeDestroyMessage } from '../../packages/dkg/src/destroy/messages.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { KeyId, SharingId } from '../../packages/dkg/src/primitives/types.ts'
import {
  encodeContribution,
  encodeDispute,
  encodeOver,
  encodePart,
  encodeRefusal,
  encodeRequest as encodeRepairRequest,
  encodeSignedRepair,
  encodeSum,
} from '../../packages/dkg/src/repair/messages.ts'
import type { SignedBody } from '../../packages/dkg/src/repair/signed-body.ts'
import { fastCurve } from '../support/simulated-committee.ts'

/* Inputs of decoders whose messages no golden vector holds: only their shape matters. */

/** Orders, signatures and receipts of a destruction; only their shape matters. */
export function destroySeeds(id: Uint8Array): readonly Uint8Array[] {
  const order = { keyId: id as KeyId, generation: 1, sharingId: id as SharingId }
  const signature = new Uint8Array(64).fill(9)
  const signatures = [1, 2, 3].map((index) => ({ index: participantIndex(index), signature }))
  const [first = { index: participantIndex(1), signature }] = signatures
  return [
    encodeDestroyMessage({ kind: 'signature', order, signature: first }),
    encodeDestroyMessage({ kind: 'order', order, signatures }),
    encodeDestroyMessage({ kind: 'receipt', receipt: { ...order, from: participantIndex(2) }, signature }),
  ]
}

export function repairSeeds(id: Uint8Array, messages: readonly Uint8Array[]): readonly Uint8Array[] {
  const from = participantIndex(2)
  const body = encodeRepairRequest({
    keyId: id as KeyId,
    sharingId: id as SharingId,
    recoverer: participantIndex(1),
    helpers: [from, participantIndex(3)],
    nonce: id,
  })
  const point = fastCurve.generator
  const signed = (content: Uint8Array): SignedBody => ({ body: content, signature: new Uint8Array(64), bytes: content })
  const contribution = encodeContribution({ rid: id, from, parts: [{ helper: participantIndex(3), point }] })
  const secrets = [encodePart(id, new Secret(id)), encodeSum(id, new Secret(id), [{ from, hash: id }])]
  return [
    encodeSignedRepair('request', signed(body)),
    encodeSignedRepair('contribution', signed(contribution)),
    ...secrets.map((secret) => secret.use((bytes) => Uint8Array.from(bytes))),
    encodeOver(id),
    encodeDispute(id, from),
    encodeRefusal(id, 'waiting'),
    ...messages.slice(0, 2),
  ]
}

/** Two signed messages behind the version and each code of a kind of evidence. */
export const evidenceSeeds = (contents: readonly Uint8Array[]): readonly Uint8Array[] =>
  contents.slice(0, 12).flatMap((first, at) => {
    const second = contents[at + 1] ?? first
    const length = (bytes: Uint8Array): Uint8Array => Uint8Array.of(0, 0, bytes.length >> 8, bytes.length & 0xff)
    const kinds = Array.from({ length: 9 }, (_, kind) => kind + 1)
    return kinds.map((kind) => Buffer.concat([Uint8Array.of(1, kind), length(first), first, length(second), second]))
  })

export function noxSeeds(): readonly Uint8Array[] {
  const hex = (length: number, byte: string): string => `0x${byte.repeat(length)}`
  const signature = new Uint8Array(65).fill(27)
  const request = { chainId: 31_337, ephemeralPubKey: hex(33, '02'), targetPubKey: hex(294, '30'), signature }
  const user = {
    address: new Uint8Array(20).fill(5),
    encryptionPubKey: hex(294, '30'),
    notBefore: 1_700_000_000,
    expiresAt: 1_700_003_600,
    signature,
  }
  return [encodeNoxAuthorization(request), encodeNoxAuthorization({ ...request, user })]
}

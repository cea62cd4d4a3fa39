import { describe, expect, it } from 'vitest'
import { type CeremonySpec, configHash, createConfig } from '../../packages/dkg/src/ceremony/config.ts'
import { answerSignedBytes } from '../../packages/dkg/src/decrypt/answer.ts'
import { encodeBatch, encodeSingle } from '../../packages/dkg/src/decrypt/box.ts'
import { createPartial, type PartialDecryption, pdecContext } from '../../packages/dkg/src/decrypt/partial.ts'
import { encodeRequest, requestHash } from '../../packages/dkg/src/decrypt/request.ts'
import type { RequestItem } from '../../packages/dkg/src/decrypt/request-item.ts'
import {
  decodeWrongPartialEvidence,
  encodeWrongPartialEvidence,
  type WrongPartial,
  wrongPartialCulprit,
} from '../../packages/dkg/src/decrypt/wrong-partial-evidence.ts'
import { verifyEvidence } from '../../packages/dkg/src/evidence/verify-evidence.ts'
import { secretScalar } from '../../packages/dkg/src/primitives/scalar.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { PointBytes } from '../../packages/dkg/src/primitives/types.ts'
import { type HandMade, keygenByHand, reshareByHand } from '../support/hand-made.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'

const world = simulatedCommittee({ n: 7, t: 3, seed: 66, signatures: 'ed25519' })
const { curve, verify, identities } = world
const { clusterId } = world.spec
const first = identities.slice(0, 5)
const second = identities.slice(2, 6)
const spec: CeremonySpec = { ...world.spec, newConfig: createConfig({ clusterId, t: 3, members: first }) }
const genesis = keygenByHand(spec, first)
const reshared = reshareByHand(genesis, second, 2)
const chain = [genesis.bytes, reshared.bytes]
const pins = { configHash: configHash(spec.newConfig) }
const [liar] = second
if (liar === undefined) throw new Error('no members')

const point = (name: string): PointBytes => curve.mulBaseSecret(new Secret(bytesOf(name)))
const item = (name: string): RequestItem => ({
  version: 1,
  K: point(name),
  chainId: 0,
  handle: bytesOf('handle'),
  grant: new Uint8Array(0),
})

function requestOf(made: HandMade, items: readonly RequestItem[], named = true): Uint8Array {
  return encodeRequest({
    clusterId,
    keyId: made.keyId,
    ...(named && { sharingId: made.sharingId }),
    requestId: bytesOf('request id'),
    notBefore: 1000,
    expiresAt: 2000,
    spki: bytesOf('spki'),
    publicKeyId: 'none',
    evidence: [],
    items,
  })
}

/** The answer of `who` with its share plus `error`, signed as a node does. */
function answer(
  made: HandMade,
  who: Identity,
  request: Uint8Array,
  contentOf: (partial: (name: string, error: bigint) => PartialDecryption) => Uint8Array,
): Pick<WrongPartial, 'index' | 'box' | 'signature' | 'content'> {
  const { index } = who
  const ctx = pdecContext({
    purpose: made.spec.purpose,
    keyId: made.keyId,
    epoch: made.spec.epoch,
    sharingId: made.sharingId,
    index,
    requestId: bytesOf('request id'),
    requestHash: requestHash(request),
  })
  const partial = (name: string, error: bigint): PartialDecryption => {
    const share = secretScalar((made.shares.get(index) ?? 0n) + error)
    return createPartial(curve, { share, K: point(name), ctx, aux: bytesOf('aux') })
  }
  const content = contentOf(partial)
  const box = bytesOf('box')
  return { index, box, content, signature: who.sign(answerSignedBytes({ ctx, box, content })) }
}

/** The same verdict by itself and through the verifier of every kind of evidence. */
function culprit(evidence: WrongPartial, configHashes = pins): number | undefined {
  const bytes = encodeWrongPartialEvidence(evidence)
  const found = wrongPartialCulprit(curve, verify, bytes, configHashes)
  const fault = verifyEvidence(curve, verify, bytes, configHashes)
  expect(fault && [fault.kind, fault.culprit]).toEqual(found && ['E6', found])
  return found
}

const single = requestOf(reshared, [item('a')])
const lie = answer(reshared, liar, single, (partial) => encodeSingle({ index: liar.index, ...partial('a', 1n) }))
const evidence: WrongPartial = { certificates: chain, request: single, ...lie }

describe('evidence of a wrong partial decryption (E6)', () => {
  it('proves the lie from the pin alone, through a change of the committee', () => {
    expect(culprit(evidence)).toBe(liar.index)
    const encoded = encodeWrongPartialEvidence(evidence)
    expect(encodeWrongPartialEvidence(decodeWrongPartialEvidence(encoded))).toEqual(encoded)
    const accepted = { configHash: bytesOf('nobody'), accepted: [configHash(reshared.spec.newConfig)] }
    expect(culprit({ ...evidence, certificates: [reshared.bytes] }, accepted)).toBe(liar.index)
  })

  it('proves nothing of an honest answer', () => {
    const honest = answer(reshared, liar, single, (partial) => encodeSingle({ index: liar.index, ...partial('a', 0n) }))
    expect(culprit({ ...evidence, ...honest })).toBeUndefined()
  })

  it('proves nothing once anything in it is another: a requester cannot make a lie of an answer', () => {
    const [, neighbour = liar] = second
    const other = requestOf(reshared, [item('b')])
    const unnamed = requestOf(reshared, [item('a')], false)
    const flipped = (bytes: Uint8Array) => Uint8Array.from(bytes, (byte, at) => (at === 5 ? byte ^ 1 : byte))
    const forgeries: readonly Partial<WrongPartial>[] = [
      { request: other },
      { request: unnamed },
      { request: requestOf(genesis, [item('a')]) },
      { request: new Uint8Array(3) },
      { index: neighbour.index },
      { box: bytesOf('another box') },
      { content: flipped(lie.content) },
      { signature: flipped(lie.signature) },
      { certificates: [genesis.bytes] },
      { certificates: [reshared.bytes] },
      { certificates: [genesis.bytes, flipped(reshared.bytes)] },
    ]
    for (const [at, forgery] of forgeries.entries())
      expect(culprit({ ...evidence, ...forgery }), `forgery ${at}`).toBeUndefined()
    expect(culprit(evidence, { configHash: bytesOf('another committee') })).toBeUndefined()
    const bytes = encodeWrongPartialEvidence(evidence)
    for (const cut of [0, 1, 2, 100, bytes.length - 1])
      expect(wrongPartialCulprit(curve, verify, bytes.subarray(0, cut), pins)).toBeUndefined()
  })

  it('needs no named sharing in the request: the answer names it', () => {
    const request = requestOf(reshared, [item('a')], false)
    const unnamed = answer(reshared, liar, request, (partial) =>
      encodeSingle({ index: liar.index, ...partial('a', 1n) }),
    )
    expect(culprit({ certificates: chain, request, ...unnamed })).toBe(liar.index)
  })

  it('reaches a key that a later committee made, through the chain of the key before it', () => {
    const rotated = keygenByHand({ ...spec, generation: 2, newConfig: reshared.spec.newConfig }, second)
    const request = requestOf(rotated, [item('a')])
    const wrong = answer(rotated, liar, request, (partial) => encodeSingle({ index: liar.index, ...partial('a', 1n) }))
    expect(culprit({ certificates: [...chain, rotated.bytes], request, ...wrong })).toBe(liar.index)
    expect(culprit({ certificates: [genesis.bytes, rotated.bytes], request, ...wrong })).toBeUndefined()
  })

  it('covers content that is none, and the items of a batch', () => {
    const { index } = liar
    const garbage = answer(reshared, liar, single, () => Uint8Array.of(1, 2, 3))
    expect(culprit({ ...evidence, ...garbage })).toBe(index)
    const request = requestOf(reshared, [item('a'), item('b')])
    const batch = (errors: readonly bigint[]) =>
      answer(reshared, liar, request, (partial) =>
        encodeBatch({
          index,
          items: errors.map((error, at) => ({ kind: 'partial', ...partial(at === 0 ? 'a' : 'b', error) })),
        }),
      )
    const about = { certificates: chain, request }
    expect(culprit({ ...about, ...batch([0n, 0n]) })).toBeUndefined()
    expect(culprit({ ...about, ...batch([0n, 1n]) })).toBe(index)
    expect(culprit({ ...about, ...batch([0n]) })).toBe(index)
    const refused = answer(reshared, liar, request, (partial) =>
      encodeBatch({
        index,
        items: [
          { kind: 'partial', ...partial('a', 0n) },
          { kind: 'refusal', code: 'not-allowed' },
        ],
      }),
    )
    expect(culprit({ ...about, ...refused })).toBeUndefined()
  })
})

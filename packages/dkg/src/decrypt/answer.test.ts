import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../errors.ts'
import { decodeNodePublicKey, verifyEd25519 } from '../primitives/ed25519.ts'
import { participantIndex } from '../primitives/point.ts'
import type { SharingId } from '../primitives/types.ts'
import { type Answer, answerSignedBytes, formatAnswer, parseAnswer } from './answer.ts'
import { MAX_BOX_BYTES } from './box.ts'

const bytes32 = (name: string): Uint8Array => sha256(utf8ToBytes(name))
const secretKey = bytes32('node')
const publicKey = decodeNodePublicKey(ed25519.getPublicKey(secretKey))
const signed = { ctx: bytes32('ctx'), box: bytes32('box'), content: bytes32('content') }
const answer: Answer = {
  index: participantIndex(4),
  sharingId: bytes32('sharing') as SharingId,
  requestId: bytes32('request'),
  box: signed.box,
  signature: ed25519.sign(answerSignedBytes(signed), secretKey),
}

describe('the signature of an answer', () => {
  it('covers context, box and content', () => {
    const verify = (change: Partial<typeof signed>): boolean =>
      verifyEd25519(publicKey, answerSignedBytes({ ...signed, ...change }), answer.signature)
    expect(verify({})).toBe(true)
    expect(verify({ ctx: bytes32('x') })).toBe(false)
    expect(verify({ box: bytes32('x') })).toBe(false)
    expect(verify({ content: bytes32('x') })).toBe(false)
    expect(verify({ box: signed.content, content: signed.box })).toBe(false)
  })
})

describe('the JSON form of an answer', () => {
  const json = formatAnswer(answer)

  it('reads back', () => {
    expect(parseAnswer(JSON.parse(JSON.stringify(json)))).toEqual(answer)
  })

  it.each<[string, unknown]>([
    ['index 0', { ...json, index: 0 }],
    ['index 65536', { ...json, index: 65536 }],
    ['a short id', { ...json, sharingId: '0x00' }],
    ['an empty box', { ...json, box: '0x' }],
    ['a box too long', { ...json, box: `0x${'00'.repeat(MAX_BOX_BYTES + 1)}` }],
    ['a short signature', { ...json, signature: '0x00' }],
    ['an unknown field', { ...json, status: 0 }],
  ])('refuses %s', (_, value) => {
    expect(() => parseAnswer(value)).toThrow(expect.objectContaining({ code: 'bad-box' }))
  })

  it('is total', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(() => parseAnswer(value)).toThrow(KmsError)
      }),
    )
  })
})

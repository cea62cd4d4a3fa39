import { concatBytes } from '@noble/hashes/utils.js'
import { expect, test } from 'vitest'
import { bytesKey } from '../primitives/codec.ts'
import {
  attestedRequesterNonce,
  decodeAttestationEvidence,
  encodeAttestationEvidence,
  MAX_ATTESTATION_QUOTE_BYTES,
} from './attestation-evidence.ts'

const quote = new Uint8Array(5000).fill(7)
const alice = `ed25519:${'0a'.repeat(32)}`
const bob = `ed25519:${'0b'.repeat(32)}`

test('a quote and its time round-trip', () => {
  const evidence = { quotedAt: 1_700_000_000, quote }
  expect(decodeAttestationEvidence(encodeAttestationEvidence(evidence))).toEqual(evidence)
  const largest = { quotedAt: 0, quote: new Uint8Array(MAX_ATTESTATION_QUOTE_BYTES) }
  expect(decodeAttestationEvidence(encodeAttestationEvidence(largest))).toEqual(largest)
})

test.for([
  ['another version', concatBytes(Uint8Array.of(2), new Uint8Array(8), quote), 'bad-request'],
  ['no quote', concatBytes(Uint8Array.of(1), new Uint8Array(8)), 'bad-request'],
  ['a time cut short', Uint8Array.of(1, 0, 0), 'bad-encoding'],
  [
    'a longer quote',
    concatBytes(Uint8Array.of(1), new Uint8Array(8 + MAX_ATTESTATION_QUOTE_BYTES + 1)),
    'bad-encoding',
  ],
] as const)('%s is refused', ([, bytes, code]) => {
  expect(() => decodeAttestationEvidence(bytes)).toThrow(expect.objectContaining({ code }) as Error)
})

test('no quote too long or empty is encoded', () => {
  for (const length of [0, MAX_ATTESTATION_QUOTE_BYTES + 1])
    expect(() => encodeAttestationEvidence({ quotedAt: 1, quote: new Uint8Array(length) })).toThrow(/16384/)
})

test('the nonce tells requesters and times apart', () => {
  const nonces = [attestedRequesterNonce(alice, 1), attestedRequesterNonce(bob, 1), attestedRequesterNonce(alice, 2)]
  expect(new Set(nonces.map(bytesKey)).size).toBe(3)
  expect(nonces.map(({ length }) => length)).toEqual([32, 32, 32])
  expect(() => attestedRequesterNonce('nobody', 1)).toThrow(expect.objectContaining({ code: 'bad-request' }) as Error)
})

import { verify as verifyNative } from 'node:crypto'
import { decodeNodePublicKey, verifyEd25519 } from '@tkms/dkg'
import { expect, it } from 'vitest'
import { createSigner, nodeSigner } from '../serve/pipeline.fixture.ts'
import { signatureHeaders, type SignedMessage, verifySignatureHeaders } from './message-signature.ts'

const message: SignedMessage = { status: 200, target: '/v1/status?nonce=0x01', body: '{"time":7}' }
const headers = signatureHeaders(message, nodeSigner, 1_700_000_000)
const check = (of: SignedMessage, with_: Partial<typeof headers> = {}): ReturnType<typeof verifySignatureHeaders> =>
  verifySignatureHeaders(verifyEd25519, of, new Headers({ ...headers, ...with_ }))

it('says who signed a response and when', () => {
  expect(check(message)).toEqual({ publicKey: nodeSigner.publicKey, created: 1_700_000_000 })
})

it('is a signature base of RFC 9421, 2.5, which any Ed25519 verifies', () => {
  const [, parameters = ''] = /^tkms=(.*)$/.exec(headers['signature-input']) ?? []
  const base = [
    '"@status": 200',
    '"@path";req: /v1/status',
    '"@query";req: ?nonce=0x01',
    `"content-digest": ${headers['content-digest']}`,
    `"@signature-params": ${parameters}`,
  ].join('\n')
  const key = {
    key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), nodeSigner.publicKey]),
    format: 'der',
    type: 'spki',
  } as const
  const [, signature = ''] = /^tkms=:(.*):$/.exec(headers.signature) ?? []
  expect(verifyNative(null, Buffer.from(base), key, Buffer.from(signature, 'base64'))).toBe(true)
})

it.each([
  ['another status', { ...message, status: 201 }],
  ['another path', { ...message, target: '/v1/other?nonce=0x01' }],
  ['another nonce', { ...message, target: '/v1/status?nonce=0x02' }],
  ['another body', { ...message, body: '{"time":8}' }],
])('does not hold for %s', (_what, of) => {
  expect(check(of)).toBeUndefined()
})

it.each([
  ['no signature', { signature: '' }],
  ['a later time', { 'signature-input': headers['signature-input'].replace('1700000000', '1700000001') }],
  [
    'another key',
    {
      'signature-input': headers['signature-input'].replace(
        /0x[0-9a-f]{64}/,
        `0x${Buffer.from(decodeNodePublicKey(createSigner().publicKey)).toString('hex')}`,
      ),
    },
  ],
  [
    'a key of small order',
    { 'signature-input': headers['signature-input'].replace(/0x[0-9a-f]{64}/, `0x01${'00'.repeat(31)}`) },
  ],
  ['fewer parts', { 'signature-input': headers['signature-input'].replace(' "content-digest"', '') }],
  ['another tag', { 'signature-input': headers['signature-input'].replace('tkms-status', 'tkms-other') }],
])('does not hold with %s', (_what, changed) => {
  expect(check(message, changed)).toBeUndefined()
})

import { ed25519 } from '@noble/curves/ed25519.js'
import { hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import {
  answerSignedBytes,
  combinePartials,
  configHash,
  createPartial,
  decodeCertificate,
  encodeBatch,
  encodeEnvelope,
  encodePolicy,
  encodeRequest,
  encodeSingle,
  encodeSpec,
  formatEnvelope,
  formatPublicKeyId,
  headerMessage,
  ciphertextHash,
  nobleCurve,
  openEnvelopeV1,
  openEnvelopeV2,
  type ParticipantIndex,
  participantIndex,
  type PartialContext,
  pdecContext,
  proveDleq,
  requestHash,
  requestItemV1,
  requestItemV2,
  requestSignedBytes,
  sealBatch,
  sealEnvelopeV1,
  sealEnvelopeV2,
  type Secret,
  verificationShare,
  type VerifiedKey,
  verifyCertificate,
  verifyEd25519,
  type DelegationRequest,
} from '@tkms/dkg'
import type { KeygenRun } from '@tkms/dkg/testing'
import { auditDocument } from './audit.ts'
import { goldenMembers, runGoldenCeremony } from './ceremony.ts'
import { fixed, fixedSecret, hex, REQUESTER_SPKI, revealed } from './fixed.ts'
import { type GoldenKey, handOverDocument } from './hand-over.ts'
import { noxDocument } from './nox.ts'
import { requestersDocument } from './requesters.ts'

const curve = nobleCurve
const requesterSeed = fixed('requester')
const publicKeyId = formatPublicKeyId({ kind: 'ed25519', key: ed25519.getPublicKey(requesterSeed) })

const memberOf = (index: ParticipantIndex): (typeof goldenMembers)[number] => {
  const member = goldenMembers.find((candidate) => candidate.index === index)
  if (member === undefined) throw new Error('not a golden member')
  return member
}

function shareOf(ceremony: KeygenRun, index: ParticipantIndex): Secret {
  const share = ceremony.shares.get(index)
  if (share === undefined) throw new Error('no golden share')
  return share
}

function ceremonyDocument(ceremony: KeygenRun, key: VerifiedKey): object {
  const { outcome } = decodeCertificate(curve, ceremony.certificate)
  return {
    spec: hex(encodeSpec(ceremony.spec)),
    configHash: hex(configHash(ceremony.spec.newConfig)),
    members: goldenMembers.map(({ index, seed, publicKey }) => ({
      index,
      ed25519Seed: hex(seed),
      ed25519: hex(publicKey),
      dealingSeed: hex(fixed('dealing', index)),
      receiverSeed: hex(fixed('receiver', index)),
      share: revealed(shareOf(ceremony, index)),
      verificationShare: hex(verificationShare(curve, key.commitment, index)),
    })),
    messages: ceremony.messages.map(hex),
    ceremony: hex(key.ceremony),
    sid: hex(outcome.sid),
    keyId: hex(key.keyId),
    sharingId: hex(key.sharingId),
    commitment: key.commitment.map(hex),
    certificate: hex(ceremony.certificate),
  }
}

function dleqDocument(): object {
  const bases = [curve.generator, curve.secondGenerator, curve.mulBaseSecret(fixedSecret('dleq', 'base'))]
  const messages = [undefined, new Uint8Array(0), fixed('dleq', 'message')]
  const proofs = bases.flatMap((base, row) =>
    messages.map((message, column) => {
      const secret = fixedSecret('dleq', 'secret', row, column)
      const B = curve.mulBaseSecret(fixedSecret('dleq', 'B', row, column))
      const aux = fixed('dleq', 'aux', row, column)
      const { A, C, proof } = proveDleq(curve, { secret, B, base, aux, ...(message && { message }) })
      const known = {
        secret: revealed(secret),
        aux: hex(aux),
        base: hex(base),
        message: hex(message ?? new Uint8Array(0)),
      }
      return { ...known, A: hex(A), B: hex(B), C: hex(C), proof: hex(proof) }
    }),
  )
  return { secondGenerator: hex(curve.secondGenerator), proofs }
}

const plaintext = utf8ToBytes('Threshold KMS golden vector: nobody holds the key that opens this.')
const policy = encodePolicy({ kind: 'ed25519', key: ed25519.getPublicKey(requesterSeed) })

const goldenEnvelopes = (key: VerifiedKey) => ({
  v1: sealEnvelopeV1(curve, {
    groupKey: key.groupKey,
    plaintext,
    handle: fixed('v1', 'handle'),
    k: fixedSecret('v1', 'k'),
    nonce: fixed('v1', 'nonce').slice(0, 12),
  }),
  v2: sealEnvelopeV2(curve, {
    key,
    plaintext,
    chainId: 421_614,
    handle: fixed('v2', 'handle'),
    policy,
    k: fixedSecret('v2', 'k'),
    aux: fixed('v2', 'aux'),
  }),
})

function envelopesDocument(key: VerifiedKey): object {
  const { v1, v2 } = goldenEnvelopes(key)
  const D1 = curve.mulSecret(key.groupKey, fixedSecret('v1', 'k'))
  const D2 = curve.mulSecret(key.groupKey, fixedSecret('v2', 'k'))
  if (hex(openEnvelopeV1(curve, v1, D1)) !== hex(plaintext) || hex(openEnvelopeV2(curve, v2, D2)) !== hex(plaintext))
    throw new Error('a golden envelope does not open')
  return {
    plaintext: hex(plaintext),
    v1: { k: revealed(fixedSecret('v1', 'k')), D: hex(D1), binary: hex(encodeEnvelope(v1)), json: formatEnvelope(v1) },
    v2: {
      k: revealed(fixedSecret('v2', 'k')),
      aux: hex(fixed('v2', 'aux')),
      D: hex(D2),
      headerMessage: hex(headerMessage(curve, v2.header, ciphertextHash(v2.ciphertext))),
      binary: hex(encodeEnvelope(v2)),
      json: formatEnvelope(v2),
    },
  }
}

function requestOf(key: VerifiedKey, name: string, items: DelegationRequest['items']): Uint8Array {
  return encodeRequest({
    clusterId: key.config.clusterId,
    keyId: key.keyId,
    sharingId: key.sharingId,
    requestId: fixed('request', name),
    notBefore: 1_800_000_000,
    expiresAt: 1_800_000_300,
    spki: hexToBytes(REQUESTER_SPKI),
    publicKeyId,
    evidence: [],
    items,
  })
}

const contextOf = (key: VerifiedKey, index: ParticipantIndex, name: string, request: Uint8Array): PartialContext => ({
  purpose: key.purpose,
  keyId: key.keyId,
  epoch: key.epoch,
  sharingId: key.sharingId,
  index,
  requestId: fixed('request', name),
  requestHash: requestHash(request),
})

function decryptionDocument(ceremony: KeygenRun, key: VerifiedKey): object {
  const { v1, v2 } = goldenEnvelopes(key)
  const request = requestOf(key, 'single', [requestItemV2(v2)])
  const answers = goldenMembers.map(({ index, sign }) => {
    const ctx = pdecContext(contextOf(key, index, 'single', request))
    const aux = fixed('partial', index)
    const partial = createPartial(curve, { share: shareOf(ceremony, index), K: v2.header.K, ctx, aux })
    const content = encodeSingle({ index, ...partial })
    const box = fixed('box', index)
    const signature = sign(answerSignedBytes({ ctx, box, content }))
    return { index, ctx, aux, D: partial.D, proof: partial.proof, content, box, signature }
  })
  const subsets = [
    [1, 2, 3],
    [1, 3, 5],
    [2, 4, 5],
    [5, 1, 4],
    [1, 2, 3, 4, 5],
  ]
  return {
    requesterSeed: hex(requesterSeed),
    publicKeyId,
    request: hex(request),
    requestHash: hex(requestHash(request)),
    requestSignature: hex(ed25519.sign(requestSignedBytes(request), requesterSeed)),
    K: hex(v2.header.K),
    note: 'box is any 32 bytes here: a real one is RSA-OAEP, which is randomised',
    answers: answers.map(({ index, ...bytes }) => ({
      index,
      ...Object.fromEntries(Object.entries(bytes).map(([name, value]) => [name, hex(value)])),
    })),
    combinations: subsets.map((indices) => {
      const chosen = indices.map(participantIndex).map((index) => ({ index, D: partialOf(answers, index) }))
      return { indices, D: hex(combinePartials(curve, chosen)) }
    }),
    batch: batchOf(ceremony, key, { v1, v2 }),
  }
}

function partialOf<D>(
  answers: readonly { readonly index: ParticipantIndex; readonly D: D }[],
  index: ParticipantIndex,
): D {
  const answer = answers.find((candidate) => candidate.index === index)
  if (answer === undefined) throw new Error('no golden answer')
  return answer.D
}

function batchOf(ceremony: KeygenRun, key: VerifiedKey, envelopes: ReturnType<typeof goldenEnvelopes>): object {
  const { v1, v2 } = envelopes
  const index = participantIndex(1)
  const grant = fixed('grant')
  const request = requestOf(key, 'batch', [requestItemV1(v1, { chainId: 0, grant }), requestItemV2(v2)])
  const ctx = pdecContext(contextOf(key, index, 'batch', request))
  const input = { share: shareOf(ceremony, index), K: v2.header.K, ctx, aux: fixed('partial', 'batch') }
  const content = encodeBatch({
    index,
    items: [
      { kind: 'refusal', code: 'not-allowed' },
      { kind: 'partial', ...createPartial(curve, input) },
    ],
  })
  const boxKey = fixedSecret('batch', 'key')
  return {
    request: hex(request),
    requestHash: hex(requestHash(request)),
    ctx: hex(ctx),
    boxKey: revealed(boxKey),
    content: hex(content),
    sealed: hex(sealBatch(boxKey, ctx, content)),
    signer: hex(memberOf(index).publicKey),
  }
}

const goldenKey = ({ spec, certificate, shares }: KeygenRun): GoldenKey => ({
  spec: encodeSpec(spec),
  certificate,
  shares: new Map([...shares].map(([index, share]) => [index, share.use((bytes) => bytes.slice())])),
})

/** Every golden document by file name, made by the real code from fixed bytes. */
export function goldenDocuments(): ReadonlyMap<string, object> {
  const ceremony = runGoldenCeremony()
  const key = verifyCertificate(curve, verifyEd25519, ceremony.certificate, {
    configHash: configHash(ceremony.spec.newConfig),
  })
  return new Map([
    ['ceremony.json', ceremonyDocument(ceremony, key)],
    ['dleq.json', dleqDocument()],
    ['envelopes.json', envelopesDocument(key)],
    ['decryption.json', decryptionDocument(ceremony, key)],
    ['requesters.json', requestersDocument(key, goldenEnvelopes(key).v1.K)],
    ['nox.json', noxDocument(goldenEnvelopes(key).v1.K)],
    ['handover.json', handOverDocument(goldenKey(ceremony))],
    ['audit.json', auditDocument(key)],
  ])
}

export const formatDocument = (document: object): string => `${JSON.stringify(document, undefined, 2)}\n`

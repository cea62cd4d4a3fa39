import {
  decodeEnvelope,
  decodeGrant,
  decodePolicy,
  decodeRequest,
  encodeEnvelope,
  encodePolicy,
  encodeRequest,
  formatAnswer,
  formatAuthorization,
  formatCluster,
  formatEnvelope,
  parseAnswer,
  parseAuthorization,
  parseCluster,
  parseEnvelope,
  verifyEd25519,
} from '../../packages/dkg/src/index.ts'
import { decodeCertificate, encodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { decodeConfig, encodeConfig } from '../../packages/dkg/src/ceremony/committee.ts'
import { decodeSpec, encodeSpec } from '../../packages/dkg/src/ceremony/config.ts'
import {
  decodeComplain,
  decodeDeal,
  decodeJoin,
  decodeJoinset,
  decodePropose,
  decodeVote,
  decodeVouch,
  encodeComplain,
  encodeDeal,
  encodeJoin,
  encodeJoinset,
  encodePropose,
  encodeVote,
  encodeVouch,
} from '../../packages/dkg/src/ceremony/messages.ts'
import { type Parties, partiesOf } from '../../packages/dkg/src/ceremony/parties.ts'
import { decodeSigned, type MessageName } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { encodeGrant } from '../../packages/dkg/src/decrypt/grant.ts'
import { decodeNoxAuthorization, encodeNoxAuthorization } from '../../packages/dkg/src/decrypt/nox-authorization.ts'
import { decodeSession, encodeSession } from '../../packages/dkg/src/decrypt/session.ts'
import { decodeWrongPartialEvidence } from '../../packages/dkg/src/decrypt/wrong-partial-evidence.ts'
import { decodeDestroyMessage, encodeDestroyMessage } from '../../packages/dkg/src/destroy/messages.ts'
import { decodeRepairMessage, wipeMessage } from '../../packages/dkg/src/repair/messages.ts'
import { verifyEvidence } from '../../packages/dkg/src/evidence/verify-evidence.ts'
import { decodeAliveReply, decodeAliveRequest, encodeAliveReply } from '../../packages/kms-node/src/net/alive-frame.ts'
import { decodeCeremonyFrame, encodeCeremonyFrame } from '../../packages/kms-node/src/net/ceremony-frame.ts'
import { decodeDelegateCall } from '../../packages/kms-node/src/net/delegate-frame.ts'
import { fastCurve } from '../support/simulated-committee.ts'
import { decodeAuditHead, encodeAuditHead } from '../../packages/dkg/src/audit/head.ts'
import { decodeAuditRecord, encodeAuditRecord } from '../../packages/dkg/src/audit/record.ts'
import { bytesAt, type Sample } from './corpus.ts'
import { destroySeeds, evidenceSeeds, noxSeeds, repairSeeds } from './seeds.ts'

const curve = fastCurve

/** One decoder and valid inputs of it. It may throw a KmsError and nothing else. */
export interface ByteTarget {
  readonly name: string
  readonly seeds: readonly Uint8Array[]
  /** @returns the bytes that what was read encodes to, where there is only one encoding */
  readonly run: (bytes: Uint8Array) => Uint8Array | undefined
}

export interface TextTarget {
  readonly name: string
  readonly seeds: readonly string[]
  /** Given a value of JSON. @returns what it formats to */
  readonly run: (value: unknown) => unknown
}

function only(read: () => unknown): undefined {
  read()
  return undefined
}

type PayloadCodec = (parties: Parties, payload: Uint8Array) => Uint8Array | undefined

const PAYLOADS: Readonly<Partial<Record<MessageName, PayloadCodec>>> = {
  join: (parties, payload) => encodeJoin(decodeJoin(curve, parties, payload)),
  joinset: (parties, payload) => encodeJoinset(decodeJoinset(parties, payload)),
  deal: (parties, payload) => encodeDeal(decodeDeal(curve, parties, payload)),
  vouch: (parties, payload) => encodeVouch(decodeVouch(parties, payload)),
  complain: (_, payload) => encodeComplain(decodeComplain(curve, payload)),
  propose: (parties, payload) => encodePropose(decodePropose(parties, payload)),
  vote: (_, payload) => encodeVote(decodeVote(payload)),
}

function payloadTargets(corpus: readonly Sample[]): ByteTarget[] {
  const [spec = new Uint8Array(0)] = bytesAt(corpus, /^ceremony\.spec$/)
  const parties = partiesOf(decodeSpec(spec))
  const messages = bytesAt(corpus, /^ceremony\.messages\./).map((bytes) => decodeSigned(bytes))
  return Object.entries(PAYLOADS).flatMap(([name, codec]) => {
    const seeds = messages.filter(({ header }) => header.name === name).map(({ payload }) => payload)
    // Where an honest run has none, the other messages are its seeds.
    const known = seeds.length > 0 ? seeds : messages.map(({ payload }) => payload)
    return [{ name: `${name} payload`, seeds: known, run: (bytes) => codec(parties, bytes) }]
  })
}

/** Everything that reads bytes from outside the process. */
export function byteTargets(corpus: readonly Sample[]): readonly ByteTarget[] {
  const at = (path: RegExp): readonly Uint8Array[] => bytesAt(corpus, path)
  const messages = at(/\.messages\.\d+$/)
  const certificates = at(/\.certificate$/)
  const requests = at(/(?:^|\.)request(?:\.bytes)?$/)
  const [configHash = new Uint8Array(32)] = at(/^ceremony\.configHash$/)
  const id = new Uint8Array(32).fill(7)
  const frames = [
    ...messages.map((signed) => encodeCeremonyFrame({ type: 'message', ceremony: id, signed })),
    ...certificates.map((certificate) => encodeCeremonyFrame({ type: 'certificate', ceremony: id, certificate })),
    ...at(/\.spec$/).map((spec) => encodeCeremonyFrame({ type: 'proposal', spec, nodes: [] })),
    encodeCeremonyFrame({ type: 'fetch', ceremony: id, sid: id, dealer: 3, dealHash: id }),
    encodeCeremonyFrame({ type: 'status', ceremony: id, messages: messages.slice(0, 3) }),
    encodeCeremonyFrame({ type: 'keyHeads', heads: [{ keyId: id, sharingId: id, epoch: 1, attempt: 0 }], reply: true }),
    encodeCeremonyFrame({ type: 'fetchCertificate', sharingId: id }),
    ...at(/\.spec$/).map((spec) =>
      encodeCeremonyFrame({ type: 'promises', specs: [{ spec }], orders: [id], last: true }),
    ),
  ]
  return [
    { name: 'request', seeds: requests, run: (bytes) => encodeRequest(decodeRequest(curve, bytes)) },
    { name: 'grant', seeds: at(/\.grants\..*\.bytes$/), run: (bytes) => encodeGrant(decodeGrant(curve, bytes)) },
    { name: 'session', seeds: at(/\.sessions\..*\.bytes$/), run: (bytes) => encodeSession(decodeSession(bytes)) },
    {
      name: 'nox authorization',
      seeds: noxSeeds(),
      run: (bytes) => encodeNoxAuthorization(decodeNoxAuthorization(bytes)),
    },
    { name: 'owner expression', seeds: at(/\.policy$/), run: (bytes) => encodePolicy(decodePolicy(bytes)) },
    { name: 'envelope', seeds: at(/\.binary$/), run: (bytes) => encodeEnvelope(decodeEnvelope(curve, bytes)) },
    { name: 'spec', seeds: at(/\.spec$/), run: (bytes) => encodeSpec(decodeSpec(bytes)) },
    {
      name: 'committee',
      seeds: at(/\.spec$/).map((bytes) => encodeConfig(decodeSpec(bytes).newConfig)),
      run: (bytes) => encodeConfig(decodeConfig(bytes)),
    },
    {
      name: 'audit record',
      seeds: at(/^audit\.records\.\d+\.record$/),
      run: (bytes) => encodeAuditRecord(decodeAuditRecord(bytes)),
    },
    { name: 'audit head', seeds: at(/^audit\.head$/), run: (bytes) => encodeAuditHead(decodeAuditHead(bytes)) },
    { name: 'signed message', seeds: messages, run: (bytes) => decodeSigned(bytes).bytes },
    ...payloadTargets(corpus),
    {
      name: 'certificate',
      seeds: certificates,
      run: (bytes) => encodeCertificate(decodeCertificate(curve, bytes)),
    },
    {
      name: 'repair message',
      seeds: repairSeeds(id, messages),
      run: (bytes) => only(() => wipeMessage(decodeRepairMessage(bytes))),
    },
    {
      name: 'destroy message',
      seeds: destroySeeds(id),
      run: (bytes) => encodeDestroyMessage(decodeDestroyMessage(bytes)),
    },
    {
      name: 'wrong partial evidence',
      seeds: [...messages, ...requests],
      run: (bytes) => only(() => decodeWrongPartialEvidence(bytes)),
    },
    {
      name: 'evidence',
      seeds: evidenceSeeds([...messages, ...certificates]),
      run: (bytes) => only(() => verifyEvidence(curve, verifyEd25519, bytes, { configHash })),
    },
    { name: 'ceremony frame', seeds: frames, run: (bytes) => only(() => decodeCeremonyFrame(bytes)) },
    { name: 'delegate frame', seeds: [...requests, ...frames], run: (bytes) => only(() => decodeDelegateCall(bytes)) },
    { name: 'alive request', seeds: frames, run: (bytes) => only(() => decodeAliveRequest(bytes)) },
    {
      name: 'alive reply',
      seeds: [encodeAliveReply([{ instance: id.subarray(16), upMs: 5, signature: new Uint8Array(64) }])],
      run: (bytes) => only(() => decodeAliveReply(bytes)),
    },
  ]
}

/** Everything that reads JSON from outside the process. */
export function textTargets(corpus: readonly Sample[]): readonly TextTarget[] {
  const envelopes = bytesAt(corpus, /\.binary$/).map((bytes) => decodeEnvelope(curve, bytes))
  const [payload = new Uint8Array(0)] = bytesAt(corpus, /^decryption\.request$/)
  const [requester = new Uint8Array(0)] = bytesAt(corpus, /^decryption\.requesterSeed$/)
  const publicKeyId = `ed25519:${Buffer.from(requester).toString('hex')}`
  const authorization = { payload, signature: new Uint8Array(64), publicKeyId }
  const answer = { index: 3, sharingId: requester, requestId: requester, box: payload, signature: new Uint8Array(64) }
  const certificates = bytesAt(corpus, /^ceremony\.certificate$/)
  const cluster = {
    version: 1,
    clusterId: `0x${Buffer.from(requester).toString('hex')}`,
    threshold: 2,
    nodes: [1, 2, 3].map((index) => ({
      index,
      name: `node-${index}`,
      ed25519: `0x${Buffer.from(bytesAt(corpus, /^ceremony\.members\.\d\.ed25519$/)[index] ?? []).toString('hex')}`,
      multiaddrs: [`/ip4/127.0.0.1/tcp/700${index}`],
      url: `http://127.0.0.1:800${index}`,
    })),
    certificates: certificates.map((bytes) => `0x${Buffer.from(bytes).toString('hex')}`),
  }
  return [
    {
      name: 'envelope JSON',
      seeds: envelopes.map((envelope) => JSON.stringify(formatEnvelope(envelope))),
      run: (value) => formatEnvelope(parseEnvelope(curve, value)),
    },
    {
      name: 'authorization JSON',
      seeds: [JSON.stringify(formatAuthorization(authorization))],
      run: (value) => formatAuthorization(parseAuthorization(value)),
    },
    {
      name: 'answer JSON',
      seeds: [JSON.stringify(formatAnswer(answer as Parameters<typeof formatAnswer>[0]))],
      run: (value) => formatAnswer(parseAnswer(value)),
    },
    { name: 'cluster file', seeds: [JSON.stringify(cluster)], run: (value) => formatCluster(parseCluster(value)) },
  ]
}

import { ed25519 } from '@noble/curves/ed25519.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { sha256 } from '@noble/hashes/sha2.js'
import {
  encodeGrant,
  encodeGrantBody,
  encodeRequest,
  encodeSession,
  encodeSessionBody,
  ethereumAddress,
  EVIDENCE_SESSION,
  formatPublicKeyId,
  type GrantBody,
  grantStatement,
  type PointBytes,
  requestHash,
  requestStatement,
  type SessionBody,
  sessionHash,
  sessionStatement,
  type Statement,
  typedDataDigest,
  type VerifiedKey,
  verifyEd25519,
  verifyStatement,
} from '@tkms/dkg'
import { fixed, hex, REQUESTER_SPKI } from './fixed.ts'

/** An Ed25519 key and a wallet, which sign whatever a requester, a principal or an issuer signs. */
const ed25519Seed = fixed('requester')
const walletKey = fixed('wallet')
const sessionSeed = fixed('session', 'key')
const signers = {
  ed25519: formatPublicKeyId({ kind: 'ed25519', key: ed25519.getPublicKey(ed25519Seed) }),
  eip712: formatPublicKeyId({ kind: 'eip712', address: ethereumAddress(secp256k1.getPublicKey(walletKey, false)) }),
}
type SignerKind = keyof typeof signers

const spki = hexToBytes(REQUESTER_SPKI)
const window = { notBefore: 1_800_000_000, expiresAt: 1_800_000_300 }

function signatureOf(kind: SignerKind, statement: Statement): Uint8Array {
  const signature = kind === 'ed25519' ? ed25519.sign(statement.message, ed25519Seed) : walletSignature(statement)
  if (!verifyStatement(verifyEd25519, signers[kind], statement, signature))
    throw new Error('a golden signature is none')
  return signature
}

function walletSignature({ typedData }: Statement): Uint8Array {
  const signed = secp256k1.sign(typedDataDigest(typedData), walletKey, { prehash: false, format: 'recovered' })
  return concatBytes(signed.slice(1), Uint8Array.of(27 + (signed[0] ?? 0)))
}

function grantOf(kind: SignerKind, key: VerifiedKey, K: PointBytes): { bytes: Uint8Array; document: object } {
  const fields: GrantBody = {
    clusterId: key.config.clusterId,
    keyId: key.keyId,
    chainId: 421_614,
    handle: fixed('grant', 'handle'),
    K,
    recipientSpkiHash: sha256(spki),
    requester: signers.eip712,
    ...window,
    grantId: fixed('grant', 'id'),
  }
  const body = encodeGrantBody(fields)
  const statement = grantStatement(fields, body)
  const bytes = encodeGrant({ body, issuer: signers[kind], signature: signatureOf(kind, statement) })
  return { bytes, document: { bytes: hex(bytes), digest: hex(typedDataDigest(statement.typedData)) } }
}

/** A session and a request in it. */
function sessionOf(kind: SignerKind, key: VerifiedKey, item: ReturnType<typeof itemOf>): object {
  const fields: SessionBody = {
    clusterId: key.config.clusterId,
    keyId: key.keyId,
    recipientSpkiHash: sha256(spki),
    sessionKey: ed25519.getPublicKey(sessionSeed),
    principal: signers[kind],
    notBefore: 1_799_999_970,
    expiresAt: 1_800_003_570,
    sessionId: fixed('session', 'id'),
    handles: kind === 'ed25519' ? [] : [{ chainId: item.chainId, handle: item.handle }],
  }
  const body = encodeSessionBody(fields)
  const statement = sessionStatement(fields, body)
  const bytes = encodeSession({ body, signature: signatureOf(kind, statement) })
  const publicKeyId = formatPublicKeyId({ kind: 'session', hash: sessionHash(body) })
  const evidence = [{ kind: EVIDENCE_SESSION, bytes }]
  const { request, payload } = requestOf(key, publicKeyId, { evidence, items: [item] })
  return {
    bytes: hex(bytes),
    hash: hex(sessionHash(body)),
    digest: hex(typedDataDigest(statement.typedData)),
    request: hex(payload),
    requestSignature: hex(ed25519.sign(requestStatement(request, payload).message, sessionSeed)),
  }
}

function requestOf(
  key: VerifiedKey,
  publicKeyId: string,
  content: Pick<Parameters<typeof encodeRequest>[0], 'evidence' | 'items'>,
) {
  const request = {
    clusterId: key.config.clusterId,
    keyId: key.keyId,
    requestId: fixed('request', publicKeyId),
    ...window,
    spki,
    publicKeyId,
    ...content,
  }
  return { request, payload: encodeRequest(request) }
}

const itemOf = (K: PointBytes, grant: Uint8Array) =>
  ({ version: 1, K, chainId: 421_614, handle: fixed('grant', 'handle'), grant }) as const

/** Everything a requester, a principal of a session and an issuer of a grant sign, each by an Ed25519 key and by a wallet. */
export function requestersDocument(key: VerifiedKey, K: PointBytes): object {
  const grants = { ed25519: grantOf('ed25519', key, K), eip712: grantOf('eip712', key, K) }
  const item = itemOf(K, grants.eip712.bytes)
  const { request, payload } = requestOf(key, signers.eip712, { evidence: [], items: [item, item] })
  const statement = requestStatement(request, payload)
  return {
    ed25519Seed: hex(ed25519Seed),
    walletKey: hex(walletKey),
    sessionSeed: hex(sessionSeed),
    signers,
    typedData: {
      request: statement.typedData,
    },
    request: {
      bytes: hex(payload),
      hash: hex(requestHash(payload)),
      digest: hex(typedDataDigest(statement.typedData)),
      signature: hex(signatureOf('eip712', statement)),
    },
    sessions: { ed25519: sessionOf('ed25519', key, item), eip712: sessionOf('eip712', key, item) },
    grants: { ed25519: grants.ed25519.document, eip712: grants.eip712.document },
  }
}

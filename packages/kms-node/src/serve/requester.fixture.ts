import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import {
  type Authorization,
  type DelegationRequest,
  encodeRequest,
  encodeSession,
  encodeSessionBody,
  EVIDENCE_SESSION,
  requestStatement,
  type SessionBody,
  sessionHash,
  sessionStatement,
  type Statement,
} from '@tkms/dkg'
import { type Address, generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import {
  alice,
  clusterId,
  createSigner,
  keyId,
  NOW_SECONDS,
  requestOf,
  rng,
  type Signer,
  spki,
} from './pipeline.fixture.ts'

/** Signs statements as whoever its id names. */
export interface StatementSigner {
  readonly id: string
  sign(statement: Statement): Promise<Uint8Array>
}

export const byKey = ({ id, sign }: Signer): StatementSigner => ({ id, sign: async ({ message }) => sign(message) })

/** A wallet with a key of its own, signing through an Ethereum library that is not ours. */
export function createWallet(): StatementSigner & { readonly address: Uint8Array; readonly hex: Address } {
  const account = privateKeyToAccount(generatePrivateKey())
  const hex = account.address.toLowerCase() as Address
  return {
    id: `eip712:${hex}`,
    hex,
    address: hexToBytes(hex.slice(2)),
    sign: async ({ typedData }) => hexToBytes((await account.signTypedData({ ...typedData })).slice(2)),
  }
}

export async function authorizeAs(signer: StatementSigner, request: DelegationRequest): Promise<Authorization> {
  const payload = encodeRequest(request)
  const signature = await signer.sign(requestStatement(request, payload))
  return { payload, signature, publicKeyId: request.publicKeyId }
}

/** What a session of the test is made of; every part can be wrong. */
export interface SessionParts {
  readonly body?: Partial<SessionBody>
  readonly principal?: StatementSigner
  /** Signs the session in place of the principal. */
  readonly forger?: StatementSigner
  /** Signs the request in place of the session key. */
  readonly asker?: Signer
  readonly request?: Partial<DelegationRequest>
  /** What travels as evidence, given what should. */
  readonly evidence?: (bytes: Uint8Array) => DelegationRequest['evidence']
}

/** A session of alice, good for the test's key and RSA key, and a request in it. */
export async function authorizeInSession(parts: SessionParts = {}): Promise<Authorization> {
  const principal = parts.principal ?? byKey(alice)
  const sessionKey = createSigner()
  const fields: SessionBody = {
    clusterId,
    keyId,
    recipientSpkiHash: sha256(spki),
    sessionKey: sessionKey.publicKey,
    principal: principal.id,
    notBefore: NOW_SECONDS - 30,
    expiresAt: NOW_SECONDS + 600,
    sessionId: rng.bytes(32),
    handles: [],
    ...parts.body,
  }
  const body = encodeSessionBody(fields)
  const signature = await (parts.forger ?? principal).sign(sessionStatement(fields, body))
  const bytes = encodeSession({ body, signature })
  const evidence = parts.evidence?.(bytes) ?? [{ kind: EVIDENCE_SESSION, bytes }]
  const publicKeyId = `session:${bytesToHex(sessionHash(body))}`
  const request = requestOf({ publicKeyId, evidence, ...parts.request })
  return authorizeAs(byKey(parts.asker ?? sessionKey), request)
}

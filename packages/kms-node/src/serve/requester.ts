import { sha256 } from '@noble/hashes/sha2.js'
import {
  attempt,
  type Authorization,
  bytesKey,
  clockSkewSeconds,
  decodeSession,
  type DelegationRequest,
  equalBytes,
  EVIDENCE_SESSION,
  formatPublicKeyId,
  parsePublicKeyId,
  type Principal,
  requestStatement,
  type Session,
  sessionHash,
  sessionMismatch,
  sessionStatement,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import type { SignatureVerifier } from '../policy/signature-verifier.ts'
import { BoundedMap } from './bounded-map.ts'
import { LEEWAY_SECONDS, type Refusal, refuse } from './refusal.ts'

/** A session whose principal's signature was verified is taken for this long without verifying it again; a contract may change its mind. */
const SESSION_CACHE_SECONDS = 60

/** Who asks, after every signature between the request and them was verified. */
export interface VerifiedRequester {
  readonly kind: 'verified'
  /** Undefined for an unsigned request ("none"). */
  readonly principal: Principal | undefined
  /** publicKeyId of the principal, through a session who signed that; "none" without one. */
  readonly requesterId: string
}

/** A request with what several checks need of it, hashed once. */
export interface HashedRequest {
  readonly request: DelegationRequest
  /** `requestHash`, 32 bytes. */
  readonly hash: Uint8Array
  /** SHA-256 of the requester's RSA key, 32 bytes. */
  readonly spkiHash: Uint8Array
}

/** Finds out who asks. */
export interface RequesterVerifier {
  /** @param request the decoded payload of the authorization, with its hashes @returns a refusal `bad-signature`, `bad-session` or `policy-unavailable` */
  verify(
    authorization: Authorization,
    request: HashedRequest,
    now: { readonly nowSeconds: number; readonly signal: AbortSignal },
  ): Promise<VerifiedRequester | Refusal>
}

/**
 * @param options.maxSessions verified sessions remembered, by the hash of all their bytes
 */
export function createRequesterVerifier(options: {
  readonly signatures: SignatureVerifier
  readonly maxSessions: number
}): RequesterVerifier {
  const { signatures } = options
  /** Until when, in Unix seconds, a session needs no verifying. */
  const verified = new BoundedMap<string, number>(options.maxSessions)

  const verifyPrincipal = async (session: Session, bytes: Uint8Array, now: Now): Promise<boolean> => {
    const name = bytesKey(sha256(bytes))
    if ((verified.get(name) ?? 0) > now.nowSeconds) return true
    const statement = sessionStatement(session, session.body)
    if (!(await signatures.verify(session.principal, statement, session.signature, now.signal))) return false
    verified.set(name, now.nowSeconds + SESSION_CACHE_SECONDS)
    return true
  }

  const inSession = async (
    { payload, signature }: Authorization,
    { request, hash, spkiHash }: HashedRequest,
    { named, now }: { readonly named: Uint8Array; readonly now: Now },
  ): Promise<VerifiedRequester | Refusal> => {
    const [evidence, ...more] = request.evidence.filter(({ kind }) => kind === EVIDENCE_SESSION)
    if (evidence === undefined || more.length > 0) return refuse('bad-session', 'not one session')
    const session = attempt(() => decodeSession(evidence.bytes))
    if (session === undefined) return refuse('bad-session', 'unreadable')
    if (!equalBytes(sessionHash(session.body), named)) return refuse('bad-session', 'another session')
    const mismatch = sessionMismatch(session, { ...request, recipientSpkiHash: spkiHash })
    if (mismatch !== undefined) return refuse('bad-session', `another ${mismatch}`)
    const skew = clockSkewSeconds(session, { nowSeconds: now.nowSeconds, leewaySeconds: LEEWAY_SECONDS })
    if (skew !== 0) return refuse('bad-session', skew > 0 ? 'over' : 'not begun')
    const sessionKeyId = formatPublicKeyId({ kind: 'ed25519', key: session.sessionKey })
    const asked = await signatures.verify(sessionKeyId, requestStatement(request, payload, hash), signature, now.signal)
    if (!asked) return refuse('bad-signature', 'session key')
    if (!(await verifyPrincipal(session, evidence.bytes, now))) return refuse('bad-session', 'principal')
    return verifiedRequester(session.principal)
  }

  return {
    async verify(authorization, hashed, now) {
      const { payload, signature, publicKeyId } = authorization
      const signer = parsePublicKeyId(publicKeyId)
      if (signer.kind === 'none') return signature.length === 0 ? verifiedRequester('none') : refuse('bad-signature')
      try {
        if (signer.kind === 'session') return await inSession(authorization, hashed, { named: signer.hash, now })
        const statement = requestStatement(hashed.request, payload, hashed.hash)
        const signed = await signatures.verify(publicKeyId, statement, signature, now.signal)
        return signed ? verifiedRequester(publicKeyId) : refuse('bad-signature')
      } catch (error) {
        if (isKmsError(error) && error.code === 'chain-unavailable')
          return refuse('policy-unavailable', 'contract wallet')
        throw error
      }
    },
  }
}

interface Now {
  readonly nowSeconds: number
  readonly signal: AbortSignal
}

function verifiedRequester(requesterId: string): VerifiedRequester {
  return { kind: 'verified', requesterId, principal: principalOf(requesterId) }
}

function principalOf(requesterId: string): Principal | undefined {
  const requester = parsePublicKeyId(requesterId)
  if (requester.kind === 'ed25519') return { kind: 'ed25519', key: requester.key }
  return requester.kind === 'eip712' ? { kind: 'ethereum', address: requester.address } : undefined
}

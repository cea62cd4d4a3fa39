import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import {
  bytesKey,
  type ClusterId,
  encodeSession,
  encodeSessionBody,
  type Evidence,
  EVIDENCE_SESSION,
  formatPublicKeyId,
  type KeyId,
  MAX_WINDOW_SECONDS,
  Secret,
  type SessionBody,
  sessionHash,
  sessionStatement,
} from '@tkms/dkg'
import { clientError } from './errors.ts'
import { randomBytes } from './random.ts'
import { BACKDATE_SECONDS } from './signed-request.ts'
import { createEd25519Signer, type RequestSigner } from './signer.ts'

/** One signature of the signer for all requests to a key for a while. */
export interface SessionOptions {
  /** 60 to 3570; 3570 unless given. */
  readonly lifetimeSeconds?: number
}

/** Who signs a request, and what must travel with it. */
export interface Asker extends RequestSigner {
  readonly evidence: readonly Evidence[]
}

/** The sessions of one client, one per key and RSA key. */
export interface Sessions {
  /** The session in force, or a new one: then the signer signs once, however many ask at the same time. */
  asker(keyId: KeyId, spki: Uint8Array): Promise<Asker>
  /** Wipes every session key, also of a session that the signer has not signed yet: that one ends with `closed`. */
  close(): void
}

const MIN_LIFETIME_SECONDS = 60
const MAX_LIFETIME_SECONDS = MAX_WINDOW_SECONDS - BACKDATE_SECONDS
/** A session this close to its end is replaced: requests signed in it must still arrive in time. */
const RENEW_SECONDS = 120

interface OpenSession {
  readonly asker: Asker
  readonly seed: Secret
  /** Unix seconds. */
  readonly expiresAt: number
}

/** @throws KmsError `bad-argument` for a lifetime out of range */
export function createSessions(params: {
  readonly signer: RequestSigner
  readonly clusterId: ClusterId
  readonly options: SessionOptions
  /** Unix milliseconds. */
  readonly nowMs: () => number
}): Sessions {
  const lifetimeSeconds = params.options.lifetimeSeconds ?? MAX_LIFETIME_SECONDS
  if (
    !Number.isInteger(lifetimeSeconds) ||
    lifetimeSeconds < MIN_LIFETIME_SECONDS ||
    lifetimeSeconds > MAX_LIFETIME_SECONDS
  )
    throw clientError('bad-argument', `a session lasts ${MIN_LIFETIME_SECONDS} to ${MAX_LIFETIME_SECONDS} seconds`)
  const renewSeconds = Math.min(RENEW_SECONDS, lifetimeSeconds / 2)
  const current = new Map<string, { readonly opening: Promise<OpenSession>; readonly renewAt: number }>()
  const opened = new Set<Pick<OpenSession, 'seed' | 'expiresAt'>>()
  let closed = false

  const wipe = (isOver: (session: Pick<OpenSession, 'seed' | 'expiresAt'>) => boolean): void => {
    for (const session of opened)
      if (isOver(session)) {
        session.seed.destroy()
        opened.delete(session)
      }
  }

  const open = async (keyId: KeyId, spki: Uint8Array, nowSeconds: number): Promise<OpenSession> => {
    const seed = new Secret(randomBytes(32))
    const expiresAt = nowSeconds + lifetimeSeconds
    const held = { seed, expiresAt }
    opened.add(held)
    const fields: SessionBody = {
      clusterId: params.clusterId,
      keyId,
      recipientSpkiHash: sha256(spki),
      sessionKey: seed.use((bytes) => ed25519.getPublicKey(bytes)),
      principal: params.signer.publicKeyId,
      notBefore: nowSeconds - BACKDATE_SECONDS,
      expiresAt,
      sessionId: randomBytes(32),
      handles: [],
    }
    const body = encodeSessionBody(fields)
    const signature = await Promise.resolve(params.signer.sign(sessionStatement(fields, body))).catch(
      (cause: unknown) => {
        wipe((other) => other === held)
        throw cause
      },
    )
    if (closed) throw clientError('closed', 'this client is closed')
    return {
      asker: {
        ...createEd25519Signer(seed),
        publicKeyId: formatPublicKeyId({ kind: 'session', hash: sessionHash(body) }),
        evidence: [{ kind: EVIDENCE_SESSION, bytes: encodeSession({ body, signature }) }],
      },
      seed,
      expiresAt,
    }
  }

  return {
    async asker(keyId, spki) {
      const name = `${bytesKey(keyId)}/${bytesKey(sha256(spki))}`
      const nowSeconds = Math.floor(params.nowMs() / 1000)
      const known = current.get(name)
      if (known !== undefined && nowSeconds < known.renewAt) return (await known.opening).asker
      wipe(({ expiresAt }) => expiresAt < nowSeconds)
      const opening = open(keyId, spki, nowSeconds)
      const entry = { opening, renewAt: nowSeconds + lifetimeSeconds - renewSeconds }
      current.set(name, entry)
      try {
        return (await opening).asker
      } catch (error) {
        // Whoever asks next is asked to sign again.
        if (current.get(name) === entry) current.delete(name)
        throw error
      }
    },
    close() {
      closed = true
      wipe(() => true)
    },
  }
}

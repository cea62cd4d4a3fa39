import { createHash } from 'node:crypto'
import {
  type Authorization,
  type ClusterId,
  decodeAuthorization,
  decodeSession,
  type DelegationRequest,
  formatPublicKeyId,
  type KeyId,
  nobleCurve,
  requestStatement,
  Secret,
  type Session,
  sessionHash,
  sessionMismatch,
  sessionStatement,
  type Statement,
  verifyEd25519,
  verifyStatement,
} from '@tkms/dkg'
import { selectCurve } from '@tkms/curve-native'
import { describe, expect, it } from 'vitest'
import type { KmsClientOptions } from './client-types.ts'
import { createKmsClient } from './client.ts'
import { createMemoryTransport, createTestCluster } from './node/testing/test-cluster.ts'
import { createEd25519Signer, type RequestSigner } from './signer.ts'
import { createSessions } from './sessions.ts'
import type { Transport } from './transport/types.ts'

const curve = selectCurve().curve
const cluster = createTestCluster(curve)
const text = new TextEncoder().encode('asked in a session')
const NOW_SECONDS = 1_800_000_000

/** A signer that counts what it is shown. */
function countingSigner(): { readonly signer: RequestSigner; readonly shown: string[] } {
  const inner = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
  const shown: string[] = []
  const sign = (statement: Statement): Uint8Array | Promise<Uint8Array> => {
    shown.push(statement.typedData.primaryType)
    return inner.sign(statement)
  }
  return { signer: { ...inner, sign }, shown }
}

/** What a node checks of a request in a session. Throws for one that it would refuse. */
function checkSession(authorization: Authorization): {
  readonly request: DelegationRequest
  readonly session: Session
} {
  const request = decodeAuthorization(nobleCurve, authorization)
  const session = decodeSession(request.evidence[0]?.bytes ?? new Uint8Array(0))
  const key = formatPublicKeyId({ kind: 'ed25519', key: session.sessionKey })
  const recipientSpkiHash = new Uint8Array(createHash('sha256').update(request.spki).digest())
  expect(request.publicKeyId).toBe(formatPublicKeyId({ kind: 'session', hash: sessionHash(session.body) }))
  expect(sessionMismatch(session, { ...request, recipientSpkiHash })).toBeUndefined()
  const asked = requestStatement(request, authorization.payload)
  expect(verifyStatement(verifyEd25519, key, asked, authorization.signature)).toBe(true)
  const opened = sessionStatement(session, session.body)
  expect(verifyStatement(verifyEd25519, session.principal, opened, session.signature)).toBe(true)
  return { request, session }
}

interface Asked {
  readonly kms: Awaited<ReturnType<typeof createKmsClient>>
  readonly shown: readonly string[]
  /** What went out, to whomever. */
  readonly sent: ReturnType<typeof checkSession>[]
  advance(seconds: number): void
}

async function setUp(options: Partial<KmsClientOptions> = {}): Promise<Asked> {
  const { signer, shown } = countingSigner()
  const memory = createMemoryTransport(cluster)
  const sent: Asked['sent'] = []
  const transport: Transport = {
    ask: (node, authorization, call) => {
      sent.push(checkSession(authorization))
      return memory.ask(node, authorization, call)
    },
    close: () => memory.close(),
  }
  let nowMs = NOW_SECONDS * 1000
  const kms = await createKmsClient({
    cluster: cluster.file(),
    signer,
    curve,
    transport,
    sessions: true,
    nowMs: () => nowMs,
    ...options,
  })
  return { kms, shown, sent, advance: (seconds) => void (nowMs += seconds * 1000) }
}

describe('sessions', () => {
  it('sign once for many requests, whoever asks at the same time', async () => {
    const { kms, shown, sent } = await setUp()
    const envelopes = await Promise.all([1, 2, 3, 4].map(() => kms.encrypt(text)))
    expect(await Promise.all(envelopes.map((envelope) => kms.decrypt(envelope)))).toEqual([text, text, text, text])
    expect(await kms.decrypt(await kms.encrypt(text))).toEqual(text)
    expect(shown).toEqual(['DecryptionSession'])
    expect(new Set(sent.map(({ request }) => request.publicKeyId)).size).toBe(1)
    expect(sent[0]?.session).toMatchObject({ notBefore: NOW_SECONDS - 30, expiresAt: NOW_SECONDS + 3570, handles: [] })
  })

  it('are renewed before they end', async () => {
    const { kms, shown, sent, advance } = await setUp({ sessions: { lifetimeSeconds: 600 } })
    const envelope = await kms.encrypt(text)
    await kms.decrypt(envelope)
    advance(479)
    await kms.decrypt(envelope)
    expect(shown).toHaveLength(1)
    advance(1)
    await kms.decrypt(envelope)
    expect(shown).toHaveLength(2)
    const ends = new Set(sent.map(({ session }) => session.expiresAt))
    expect([...ends]).toEqual([NOW_SECONDS + 600, NOW_SECONDS + 480 + 600])
    expect(new Set(sent.map(({ session }) => Buffer.from(session.sessionKey).toString('hex'))).size).toBe(2)
  })

  it('come after a refusal of the signer when somebody asks again', async () => {
    const { signer } = countingSigner()
    let refusals = 1
    const sign = (statement: Statement): Promise<Uint8Array> =>
      refusals-- > 0 ? Promise.reject(new Error('the owner said no')) : Promise.resolve(signer.sign(statement))
    const { kms } = await setUp({ signer: { ...signer, sign } })
    const envelope = await kms.encrypt(text)
    await expect(kms.decrypt(envelope)).rejects.toThrow('the owner said no')
    expect(await kms.decrypt(envelope)).toEqual(text)
  })

  it('a caller need not wait for an owner who does not answer', async () => {
    const { signer } = countingSigner()
    const { kms, sent } = await setUp({ signer: { ...signer, sign: () => new Promise(() => undefined) } })
    const leaving = new AbortController()
    const call = kms.decrypt(await kms.encrypt(text), { signal: leaving.signal })
    leaving.abort()
    await expect(call).rejects.toMatchObject({ code: 'cancelled' })
    expect(sent).toEqual([])
  })

  it('last from a minute to an hour, and end with the client', async () => {
    for (const lifetimeSeconds of [59, 3571, 60.5])
      await expect(setUp({ sessions: { lifetimeSeconds } })).rejects.toMatchObject({ code: 'bad-argument' })
    const { kms } = await setUp({ sessions: { lifetimeSeconds: 60 } })
    const envelope = await kms.encrypt(text)
    await kms.request(envelope)
    await kms.close()
    await expect(kms.request(envelope)).rejects.toThrow('wiped')
  })

  it('end with the client also while the owner still thinks about one', async () => {
    const { signer } = countingSigner()
    const answered = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const sign = async (statement: Statement): Promise<Uint8Array> => {
      asked.resolve()
      await answered.promise
      return signer.sign(statement)
    }
    const sessions = createSessions({
      signer: { ...signer, sign },
      clusterId: new Uint8Array(32) as ClusterId,
      options: {},
      nowMs: () => NOW_SECONDS * 1000,
    })
    const asker = sessions.asker(new Uint8Array(32) as KeyId, new Uint8Array(32))
    await asked.promise
    sessions.close()
    answered.resolve()
    await expect(asker).rejects.toMatchObject({ code: 'closed' })
  })
})

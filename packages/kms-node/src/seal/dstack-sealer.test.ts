import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { startTestAgent, type TestAgent } from '../dstack/guest-agent.fixture.ts'
import { systemRng } from '../system.ts'
import { createDstackSealer } from './dstack-sealer.ts'
import { createKeyFileSealer } from './key-file.ts'
import type { NodeSealer } from './key-sealer.ts'

const aad = Uint8Array.of(1, 2, 3)
const secret = (): Secret => Secret.copyOf(Buffer.from('the keyring'))
const text = (value: Secret): string => value.use((bytes) => Buffer.from(bytes).toString())

let directory: string
let socket: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-dstack-'))
  socket = join(directory, 'dstack.sock')
})
afterEach(() => rm(directory, { recursive: true }))

const make = (at = socket): NodeSealer => createDstackSealer({ socket: at, timeoutMs: 5000 }, systemRng)

async function start(...args: Parameters<typeof startTestAgent>): Promise<TestAgent> {
  const agent = await startTestAgent(...args)
  onTestFinished(() => agent.close())
  return agent
}

describe('dstack sealer', () => {
  it('opens after a reboot of the same application, and under no other key', async () => {
    const agent = await startTestAgent(socket, 'this application')
    const sealed = await make().seal(secret(), aad)
    expect(agent.requests).toEqual([
      { method: 'POST', url: '/GetKey', body: { path: 'tkms/1/seal', purpose: 'tkms-seal' } },
    ])
    await agent.close()
    await start(socket, 'this application')
    expect(text(await make().unseal(sealed, aad))).toBe('the keyring')
    await expect(make().unseal(sealed, Uint8Array.of(1))).rejects.toMatchObject({ code: 'unseal-failed' })
    const other = join(directory, 'other.sock')
    await start(other, 'another application')
    await expect(make(other).unseal(sealed, aad)).rejects.toMatchObject({ code: 'unseal-failed' })
  })

  it('asks the agent once per process, and derives a key of its own for every store', async () => {
    const agent = await start(socket, 'this application')
    const sealer = make()
    const sealed = await sealer.seal(secret(), aad)
    await sealer.seal(secret(), aad)
    expect(text(await sealer.unseal(sealed, aad))).toBe('the keyring')
    expect(agent.requests).toHaveLength(1)
    const other = await make().seal(secret(), aad)
    const exchanged = Buffer.concat([other.subarray(0, 36), sealed.subarray(36)])
    await expect(make().unseal(exchanged, aad)).rejects.toMatchObject({ code: 'unseal-failed' })
  })

  it('says that no agent is there, and succeeds when it comes', async () => {
    const sealer = make()
    await expect(sealer.seal(secret(), aad)).rejects.toMatchObject({
      code: 'guest-agent-unavailable',
      retryable: true,
      data: { socket },
    })
    await start(socket, 'this application')
    expect(await sealer.seal(secret(), aad)).toBeInstanceOf(Uint8Array)
  })

  it.each([
    ['an error of the agent', { status: 500, text: '{"error":"no key provider"}' }, 'guest-agent-unavailable'],
    ['no JSON', { text: 'hello' }, 'guest-agent-bad-reply'],
    ['no key', { text: '{"signature_chain":[]}' }, 'guest-agent-bad-reply'],
    ['a key of another length', { text: `{"key":"${'ab'.repeat(31)}"}` }, 'guest-agent-bad-reply'],
    [
      'more than it may',
      { text: `{"key":"${'ab'.repeat(32)}","x":"${'x'.repeat(65_536)}"}` },
      'guest-agent-unavailable',
    ],
  ])('refuses %s', async (_name, reply, code) => {
    await start(socket, 'this application', () => reply)
    await expect(make().seal(secret(), aad)).rejects.toMatchObject({ code })
  })

  it('does not wait for ever for an agent that is silent', async () => {
    await start(socket, 'this application', () => undefined)
    const sealer = createDstackSealer({ socket, timeoutMs: 50 }, systemRng)
    await expect(sealer.seal(secret(), aad)).rejects.toMatchObject({ code: 'guest-agent-unavailable' })
  })

  it('refuses what another provider sealed, naming both', async () => {
    await start(socket, 'this application')
    const sealed = await createKeyFileSealer(join(directory, 'key'), systemRng).seal(secret(), aad)
    await expect(make().unseal(sealed, aad)).rejects.toMatchObject({
      code: 'sealer-mismatch',
      data: { sealedBy: 'kms-file', configured: 'dstack' },
    })
  })
})

import { type CeremonyEffect, type CeremonyId, type CeremonyInput, participantIndex, Secret } from '@tkms/dkg'
import { expect, test } from 'vitest'
import type { RecordStore } from '../ports.ts'
import { createCeremonyDriver, type DriverPorts } from './driver.ts'
import type { EngineProcess } from './engine-process.ts'
import { ceremonyError } from './errors.ts'

const ceremony = new Uint8Array(32).fill(5) as CeremonyId
const id = '05'.repeat(32)
const secret = (byte: number): Secret => new Secret(new Uint8Array(32).fill(byte))

/** Every call of the outside world in order. */
interface World {
  readonly journal: string[]
  readonly records: Map<string, Uint8Array>
  readonly ports: DriverPorts
}

type Script = (input: CeremonyInput | { readonly type: 'open'; readonly resumed: boolean }) => readonly CeremonyEffect[]

function createWorld(script: Script, overrides: Partial<DriverPorts> = {}): World {
  const journal: string[] = []
  const records = new Map<string, Uint8Array>()
  const store: RecordStore = {
    put: async (kind, name, plaintext) => {
      journal.push(`put ${kind}`)
      await new Promise((resolve) => setImmediate(resolve))
      records.set(
        name,
        plaintext.use((bytes) => Uint8Array.from(bytes)),
      )
      journal.push(`durable ${kind}`)
    },
    get: async (_kind, name) => {
      const bytes = records.get(name)
      return bytes === undefined ? undefined : Secret.copyOf(bytes)
    },
    erase: async (_kind, name) => void records.delete(name),
    list: async () => [...records.keys()],
  }
  const startProcess = (): EngineProcess => ({
    pid: undefined,
    open: async (snapshot) => script({ type: 'open', resumed: snapshot !== undefined }),
    step: async (input) => script(input),
    stop: async () => void journal.push('process gone'),
  })
  const ports: DriverPorts = {
    ceremony,
    maxBytesPerPeer: 1000,
    store,
    startProcess,
    drawSeeds: () => ({ dealing: secret(1), receiver: secret(2) }),
    send: (to, frame) => void journal.push(`send ${frame.type} to ${to}`),
    install: async (_certificate, share) => void journal.push(`install ${share === undefined ? 'no share' : 'share'}`),
    onProgress: () => {},
    onViewFailed: ({ reason }) => void journal.push(`stopped ${reason}`),
    onRolledBack: (view) => void journal.push(`rolled back ${view}`),
    onAbandonRefused: (reason) => void journal.push(`refused ${reason}`),
    onFault: async () => {},
    onRestart: (restarts) => void journal.push(`restart ${restarts}`),
    ...overrides,
  }
  return { journal, records, ports }
}

const archive: CeremonyEffect = { type: 'archive', certificate: Uint8Array.of(1), dealings: [] }
const message = (byte: number): CeremonyInput => ({ type: 'message', signed: Uint8Array.of(byte) })

test('nothing behind a persist happens before that snapshot is durable', async () => {
  const world = createWorld((input) =>
    input.type === 'open'
      ? [
          { type: 'persist', snapshot: secret(9) },
          { type: 'send', to: 'all', signed: Uint8Array.of(1) },
          { type: 'need-seeds', view: 0, dealing: true, receiver: true },
        ]
      : [{ type: 'complete', certificate: Uint8Array.of(1), share: secret(3) }, archive],
  )
  const result = await createCeremonyDriver(world.ports).run()
  expect(result.kind).toBe('decided')
  expect(world.journal.slice(0, 3)).toEqual(['put ceremony', 'durable ceremony', 'send message to all'])
  expect(world.journal.slice(3)).toEqual(['install share', 'process gone'])
})

test('a store that fails stops the ceremony before anything is sent', async () => {
  const world = createWorld(() => [
    { type: 'persist', snapshot: secret(9) },
    { type: 'send', to: 'all', signed: Uint8Array.of(1) },
  ])
  const store = { ...world.ports.store, put: () => Promise.reject(ceremonyError('engine-timeout', 'disk full')) }
  const driver = createCeremonyDriver({ ...world.ports, store })
  await expect(driver.run()).rejects.toThrow('disk full')
  expect(world.journal).not.toContain('send message to all')
  expect(world.journal).toContain('process gone')
})

test('a process that dies is started again from its last snapshot, without the input it died of', async () => {
  const opened: boolean[] = []
  const given: number[] = []
  const world = createWorld((input) => {
    if (input.type === 'open') {
      opened.push(input.resumed)
      return input.resumed ? [] : [{ type: 'persist', snapshot: secret(9) }]
    }
    if (input.type !== 'message') return []
    given.push(input.signed[0] ?? 0)
    if (input.signed[0] === 13) throw ceremonyError('engine-crashed', 'died')
    return [archive]
  })
  const driver = createCeremonyDriver(world.ports)
  const from = participantIndex(2)
  driver.deliver(from, message(13))
  driver.deliver(from, message(14))
  expect((await driver.run()).kind).toBe('decided')
  expect(opened).toEqual([false, true])
  expect(given).toEqual([13, 14])
  expect(world.journal).toContain('restart 1')
})

test('a process that dies at every start is given up after a bounded number of tries', async () => {
  let starts = 0
  const world = createWorld(() => {
    starts++
    throw ceremonyError('engine-crashed', 'died')
  })
  await expect(createCeremonyDriver(world.ports).run()).rejects.toMatchObject({ code: 'engine-crashed' })
  expect(starts).toBe(6)
})

test('a halt ends the process and keeps the snapshot', async () => {
  const world = createWorld(() => [{ type: 'persist', snapshot: secret(9) }])
  const driver = createCeremonyDriver(world.ports)
  const result = driver.run()
  await driver.halt()
  expect(await result).toEqual({ kind: 'halted' })
  expect(world.journal).toContain('process gone')
})

test('one peer cannot fill the mailbox of the others', () => {
  const world = createWorld(() => [])
  const driver = createCeremonyDriver(world.ports)
  const accepted = Array.from({ length: 1000 }, () => driver.deliver(participantIndex(2), message(1)))
  expect(accepted.filter(Boolean)).toHaveLength(256)
  expect(driver.deliver(participantIndex(3), message(1))).toBe(true)
  expect(world.records.has(id)).toBe(false)
})

test('one peer leaves no more bytes than its share, and may leave more when they are taken', async () => {
  const taken: number[] = []
  const world = createWorld((input) => {
    if (input.type === 'message') taken.push(input.signed.length)
    return taken.length === 2 ? [archive] : []
  })
  const driver = createCeremonyDriver(world.ports)
  const long = (bytes: number): CeremonyInput => ({ type: 'message', signed: new Uint8Array(bytes) })
  expect(driver.deliver(participantIndex(2), long(600))).toBe(true)
  expect(driver.deliver(participantIndex(2), long(600))).toBe(false)
  expect(driver.deliver(participantIndex(3), long(600))).toBe(true)
  expect(driver.deliver(participantIndex(2), long(400))).toBe(true)
  expect((await driver.run()).kind).toBe('decided')
  expect(taken).toEqual([600, 600])
})

test('an abandoned ceremony ends its driver, and the process with it', async () => {
  const world = createWorld((input) => (input.type === 'abandon' ? [{ type: 'abandoned' }] : []))
  const driver = createCeremonyDriver(world.ports)
  driver.order({ type: 'abandon' })
  expect(await driver.run()).toEqual({ kind: 'abandoned' })
  expect(world.journal).toContain('process gone')
})

test.each(['abandon', 'supersede'] as const)('the order to %s outlives the process that dies of it', async (type) => {
  const given: string[] = []
  const world = createWorld((input) => {
    if (input.type === 'open') return []
    given.push(input.type)
    if (given.length === 1) throw ceremonyError('engine-crashed', 'died')
    return input.type === 'message' ? [archive] : []
  })
  const driver = createCeremonyDriver(world.ports)
  driver.order({ type })
  driver.deliver(participantIndex(2), message(1))
  expect((await driver.run()).kind).toBe('decided')
  expect(given).toEqual([type, type, 'message'])
})

test('an order that every process dies of is given up with the ceremony', async () => {
  let given = 0
  const world = createWorld((input) => {
    if (input.type === 'open') return []
    given++
    throw ceremonyError('engine-crashed', 'died')
  })
  const driver = createCeremonyDriver(world.ports)
  driver.order({ type: 'abandon' })
  await expect(driver.run()).rejects.toMatchObject({ code: 'engine-crashed' })
  expect(given).toBe(6)
})

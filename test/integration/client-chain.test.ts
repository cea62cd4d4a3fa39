import {
  createEd25519Signer,
  createKmsClient,
  createRequesterKey,
  type KmsClient,
  type KmsClientOptions,
  type NodeFailure,
} from '@tkms/kms-client'
import { Secret } from '@tkms/dkg'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type CeremonySpec, configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { formatCluster } from '../../packages/dkg/src/cluster.ts'
import { wrongPartialCulprit } from '../../packages/dkg/src/decrypt/wrong-partial-evidence.ts'
import { type HandMade, keygenByHand } from '../support/hand-made.ts'
import { createMovingCluster, entryOf, type MovingCluster } from '../support/moving-cluster.ts'

const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
const text = new TextEncoder().encode('across epochs')
const FIRST = [1, 2, 3, 4, 5]
const SECOND = [3, 4, 6, 7]
let requesterKey: Awaited<ReturnType<typeof createRequesterKey>>
let moving: MovingCluster
let next: HandMade

beforeAll(async () => {
  requesterKey = await createRequesterKey()
})
beforeEach(() => {
  moving = createMovingCluster(8)
  next = moving.reshare(moving.genesis, SECOND, 2)
})

interface Opened {
  readonly kms: KmsClient
  readonly failures: NodeFailure[]
}

async function open(
  file = moving.born,
  options: Partial<Pick<KmsClientOptions, 'acceptedConfigHashes' | 'limits'>> = {},
): Promise<Opened> {
  const failures: NodeFailure[] = []
  const { transport, exchange } = moving
  const onNodeFailure = (failure: NodeFailure): unknown => failures.push(failure)
  const common = { signer, requesterKey, transport, exchange, onNodeFailure, limits: { totalTimeoutMs: 60_000 } }
  return { kms: await createKmsClient({ cluster: formatCluster(file), ...common, ...options }), failures }
}

/** The new sharing is active here. */
function activate(index: number, made = next, file = moving.fileWith(made)): void {
  const node = moving.node(index)
  node.serves = [made, ...node.serves]
  node.file = file
}

/** The old one is erased here. */
function retire(index: number, made = moving.genesis): void {
  const node = moving.node(index)
  node.serves = node.serves.filter((served) => served !== made)
  node.leftBehind = [...node.leftBehind, made]
}

function move(made = next): void {
  for (const index of SECOND) activate(index, made)
  for (const index of FIRST) {
    moving.node(index).file = moving.fileWith(made)
    retire(index)
  }
}

const opens = async (kms: KmsClient): Promise<void> => expect(await kms.decrypt(await kms.encrypt(text))).toEqual(text)

describe('a client whose cluster moves on', () => {
  it('follows to the new committee by itself, and its cluster file with it', async () => {
    const { kms, failures } = await open()
    await opens(kms)
    move()
    await opens(kms)
    expect(kms.keys[0]).toMatchObject({ epoch: 1, t: 2 })
    expect(kms.keys[0]?.groupKey).toEqual(moving.genesis.groupKey)
    expect(kms.cluster.nodes.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(failures.every(({ code }) => code === 'superseded' || code === 'unreachable')).toBe(true)
    const again = await open(moving.fileWith(next))
    expect(again.kms.keys[0]).toMatchObject({ epoch: 1 })
    await opens(again.kms)
    expect(again.failures).toEqual([])
  })

  it('loses no request while the nodes change over one by one', async () => {
    const { kms } = await open()
    const envelope = await kms.encrypt(text)
    let done = false
    let opened = 0
    const load = async (): Promise<void> => {
      while (!done) {
        expect(await kms.decrypt(envelope)).toEqual(text)
        opened++
      }
    }
    const workers = [load(), load(), load()]
    const progress = async (count: number): Promise<void> => {
      const until = opened + count
      while (opened < until) await Promise.race([new Promise((resolve) => setImmediate(resolve)), ...workers])
    }
    await progress(3)
    for (const index of SECOND) {
      activate(index)
      await progress(2)
    }
    for (const index of FIRST) {
      retire(index)
      moving.node(index).file = moving.fileWith(next)
      await progress(2)
    }
    await progress(5)
    done = true
    await Promise.all(workers)
    expect(kms.keys[0]?.epoch).toBe(1)
    const sharings = new Set(moving.answered.map((id) => Buffer.from(id).toString('hex')))
    expect(sharings.size).toBe(2)
  })

  it('waits for nodes that have not heard of the sharing it knows yet', async () => {
    const { kms, failures } = await open(moving.fileWith(next))
    const deciding = kms.decrypt(await kms.encrypt(text))
    while (failures.length === 0) await new Promise((resolve) => setImmediate(resolve))
    for (const index of SECOND) activate(index)
    expect(await deciding).toEqual(text)
    expect(failures[0]?.code).toBe('wrong-sharing')
  })

  it('finds a key that was made after its cluster file', async () => {
    const { kms } = await open()
    const rotated = keygenByHand({ ...moving.genesis.spec, generation: 2 } as CeremonySpec, moving.members(...FIRST))
    const file = moving.fileWith(rotated)
    const elsewhere = await open(file)
    const sealed = await elsewhere.kms.encrypt(text, { key: `0x${Buffer.from(rotated.keyId).toString('hex')}` })
    await expect(kms.decrypt(sealed)).rejects.toMatchObject({ code: 'unknown-key' })
    for (const index of FIRST) activate(index, rotated, file)
    expect(await kms.decrypt(sealed)).toEqual(text)
    expect(kms.keys.map(({ generation }) => generation)).toEqual([1, 2])
    await opens(kms)
  })

  it('takes several epochs at once, through committees that are gone', async () => {
    const third = moving.reshare(next, [6, 7, 8], 2)
    const fourth = moving.reshare(third, [6, 7, 8], 2)
    const { kms } = await open()
    for (const index of FIRST) moving.node(index).up = false
    moving.node(3).up = true
    retire(3)
    moving.node(3).file = moving.fileWith(next, third, fourth)
    for (const index of [6, 7, 8]) activate(index, fourth, moving.fileWith(next, third, fourth))
    await opens(kms)
    expect(kms.keys[0]?.epoch).toBe(3)
  })
})

describe('sharings', () => {
  it('never meet: answers out of two of them do not make a quorum', async () => {
    const { kms, failures } = await open()
    for (const index of [1, 2]) moving.node(index).up = false
    for (const index of SECOND) activate(index, next, moving.born)
    moving.node(3).answersFrom = next
    await expect(kms.decrypt(await kms.encrypt(text))).rejects.toMatchObject({ code: 'quorum-not-reached' })
    expect(failures.find(({ index }) => index === 3)).toMatchObject({ code: 'bad-reply' })
    expect(moving.answered).toContainEqual(next.sharingId)
  })

  it('only ever get younger: an epoch once seen is not left for an older one', async () => {
    const { kms } = await open(moving.fileWith(next), { limits: { totalTimeoutMs: 1_000 } })
    await expect(kms.decrypt(await kms.encrypt(text))).rejects.toMatchObject({ code: 'quorum-not-reached' })
    expect(kms.keys[0]?.epoch).toBe(1)
    expect(moving.answered).toEqual([])
  })

  it('of a degraded hand-over are followed by whoever pins the new committee', async () => {
    const weak = moving.reshare(moving.genesis, SECOND, 2, { authorizers: moving.members(1, 2, 3) })
    const hash = configHash(weak.spec.newConfig)
    const accepting = await open(moving.born, { acceptedConfigHashes: [hash] })
    const { kms } = await open()
    for (const index of SECOND) moving.node(index).serves = [weak, ...moving.node(index).serves]
    for (const index of FIRST) retire(index)
    const file = { ...moving.fileWith(), certificates: [moving.genesis.bytes, weak.bytes] }
    for (const { identity } of moving.nodes.values()) moving.node(identity.index).file = file
    await expect(kms.decrypt(await kms.encrypt(text))).rejects.toMatchObject({
      code: 'degraded-certificate',
      data: { configHash: `0x${Buffer.from(hash).toString('hex')}` },
    })
    await opens(accepting.kms)
    await expect(open(file)).rejects.toMatchObject({ code: 'degraded-certificate' })
    await opens((await open(file, { acceptedConfigHashes: [hash] })).kms)
  })
})

describe('a removed node', () => {
  it('row 30: is not asked any more, and what it answers for the new sharing does not count', async () => {
    const { kms, failures } = await open(moving.fileWith(next))
    for (const index of SECOND) activate(index)
    for (const index of [1, 2, 5]) moving.node(index).serves = [next]
    failures.length = 0
    for (const index of [4, 6, 7]) moving.node(index).up = false
    await expect(kms.decrypt(await kms.encrypt(text))).rejects.toMatchObject({ code: 'quorum-not-reached' })
    expect(failures.every(({ index }) => SECOND.includes(index))).toBe(true)
    expect(moving.answered.length).toBeLessThanOrEqual(1)
    moving.node(7).up = true
    await opens(kms)
  })
})

describe('lying nodes', () => {
  it('hide no new key: with forged certificates of it, alone or beside the right one', async () => {
    const spec = { ...moving.genesis.spec, generation: 2 } as CeremonySpec
    const rotated = keygenByHand(spec, moving.members(...FIRST))
    const forged = Uint8Array.from(rotated.bytes, (byte, at) => (at === rotated.bytes.length - 1 ? byte ^ 1 : byte))
    const file = moving.fileWith(rotated)
    const sealed = await (await open(file)).kms.encrypt(text, {
      key: `0x${Buffer.from(rotated.keyId).toString('hex')}`,
    })
    const { genesis, born } = moving
    const served = [
      { lies: [rotated.bytes, forged], liars: FIRST },
      { lies: [forged], liars: FIRST.slice(1) },
    ]
    for (const { lies, liars } of served) {
      const { kms } = await open()
      for (const index of FIRST) activate(index, rotated, file)
      for (const index of liars) moving.node(index).file = { ...born, certificates: [genesis.bytes, ...lies] }
      expect(await kms.decrypt(sealed)).toEqual(text)
    }
    // Whoever meets only the liars at first finds the key as soon as somebody tells the truth.
    for (const index of FIRST) moving.node(index).file = { ...born, certificates: [genesis.bytes, forged] }
    const { kms } = await open()
    await expect(kms.decrypt(sealed)).rejects.toMatchObject({ code: 'unknown-key' })
    moving.node(5).file = file
    expect(await kms.decrypt(sealed)).toEqual(text)
  })

  it('mislead nobody with forged certificates and addresses, while most tell the truth', async () => {
    const { kms } = await open()
    move()
    const forged = Uint8Array.from(next.bytes, (byte, at) => (at === next.bytes.length - 1 ? byte ^ 1 : byte))
    const elsewhere = moving.members(...SECOND, 1, 2, 5, 8).map((identity) => entryOf(identity, 9000 + identity.index))
    moving.node(1).file = { ...moving.fileWith(), nodes: elsewhere, certificates: [moving.genesis.bytes, forged] }
    await opens(kms)
    expect(kms.keys[0]?.epoch).toBe(1)
    expect(kms.cluster.nodes.find(({ index }) => index === 6)?.url).toBe('http://127.0.0.1:8006')
  })

  it('are named with evidence that holds from the pin alone, after a change of the committee', async () => {
    const { kms, failures } = await open()
    move()
    await opens(kms)
    moving.node(6).error = 1n
    // Two must answer, and these two are left: nobody outruns the liar.
    for (const index of [4, 7]) moving.node(index).up = false
    await expect(kms.decrypt(await kms.encrypt(text))).rejects.toMatchObject({ code: 'quorum-not-reached' })
    const lie = failures.find(({ code }) => code === 'bad-partial')
    const { curve, verify } = moving.world
    const evidence = lie?.evidence ?? new Uint8Array(0)
    expect(wrongPartialCulprit(curve, verify, evidence, { configHash: moving.born.configHash })).toBe(6)
  })
})

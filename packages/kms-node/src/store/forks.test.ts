import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isKmsError } from '../errors.ts'
import { type CountedHome, createCountedHome, secretOf, textOf } from './counted-store.fixture.ts'
import { KEYRING_FILE } from './directory.ts'
import { parseKeyringFile } from './keyring-file.ts'
import { cutPower } from './power.fixture.ts'
import { createRecordStore, openRecordStore } from './record-store.ts'

/** A disk as the host may keep it: alike are those of one count and one value. */
interface Kept {
  readonly count: number
  readonly value: string
  putBack(): void
}

/** A start of the store on a kept disk, until it ends or the power goes. */
interface Life {
  readonly refused: boolean
  /** Whether it ended by itself. */
  readonly whole: boolean
  /** What it handed out: the value found, then the value promised. */
  readonly seen: readonly string[]
  readonly counter: number
  readonly left: Kept
  /** Every disk that there was meanwhile, the one it left at the end. */
  readonly disks: readonly Kept[]
}

interface History {
  readonly counter: number
  readonly disks: readonly Kept[]
  readonly seen: readonly string[]
  readonly told: readonly string[]
}

const nameOf = ({ count, value }: Kept): string => `${value} of ${count}`
const unique = <T>(items: readonly T[], name: (item: T) => string): T[] => [
  ...new Map(items.map((item) => [name(item), item])).values(),
]

let home: CountedHome
beforeEach(async () => {
  home = await createCountedHome()
})
afterEach(() => rm(home.directory, { recursive: true }))

async function keep(): Promise<Kept> {
  const { chip, disk, directory, options } = home
  const putBack = disk.backup()
  const bytes = await disk.fileSystem.read(join(directory, KEYRING_FILE), 1_000_000)
  const { count = Number.NaN } = parseKeyringFile(bytes)
  const { value: counter } = chip
  chip.value = count
  const store = await openRecordStore(options())
  const value = textOf(await store.get('share', 'a')) ?? ''
  await store.close()
  chip.value = counter
  putBack()
  return { count, value, putBack }
}

/** @param writes what it adds to the value it finds; without it, it only reads, as a node that goes on with what it had promised */
async function live(
  disk: Kept,
  counter: number,
  writes: string | undefined,
  cut: number,
): Promise<Omit<Life, 'disks'>> {
  const { chip, options } = home
  disk.putBack()
  chip.value = counter
  const port = cutPower(chip, cut, home.disk.fileSystem)
  const seen: string[] = []
  let refused = false
  try {
    const store = await openRecordStore(options(port))
    try {
      const found = textOf(await store.get('share', 'a')) ?? ''
      seen.push(found)
      if (writes !== undefined) {
        await store.put('share', 'a', secretOf(found + writes))
        seen.push(found + writes)
      }
    } finally {
      await store.close()
    }
  } catch (cause) {
    if (!isKmsError(cause)) throw cause
    refused = cause.code === 'rollback-detected'
    if (!refused && port.steps <= cut) throw cause
  }
  chip.step = () => undefined
  return { refused, whole: port.steps <= cut, seen, counter: chip.value, left: await keep() }
}

/** Every way in which a life may go: cut at every step, and at last whole. Those that come to the same are one, and lived once. */
function createLives(): (disk: Kept, counter: number, writes?: string) => Promise<readonly Life[]> {
  const known = new Map<string, Promise<readonly Life[]>>()
  const sweep = async (disk: Kept, counter: number, writes: string | undefined): Promise<readonly Life[]> => {
    const lives: Life[] = []
    let disks: readonly Kept[] = []
    for (let cut = 0, isWhole = false; !isWhole; cut++) {
      const life = await live(disk, counter, writes, cut)
      disks = unique([...disks, life.left], nameOf)
      lives.push({ ...life, disks })
      isWhole = life.whole
    }
    return unique(lives, (life) => [life.refused, life.counter, nameOf(life.left), ...life.seen].join())
  }
  return (disk, counter, writes) => {
    const name = [nameOf(disk), counter, writes].join()
    const lives = known.get(name) ?? sweep(disk, counter, writes)
    known.set(name, lives)
    return lives
  }
}

/** What went wrong in any history of lives that write, followed by starts that only read, of every disk there was, in every order. */
async function explore(begin: Kept, value: number, writers: readonly string[]) {
  const lives = createLives()
  const wrong = new Set<string>()
  const ends = new Set<string>()
  const visited = new Set<string>()
  const isFork = (seen: readonly string[]): boolean => seen.some((each, at) => !each.startsWith(seen[at - 1] ?? ''))
  const start = async (disk: Kept, counter: number): Promise<Life> => {
    const whole = (await lives(disk, counter)).at(-1)
    if (whole === undefined) throw new Error('no life')
    return whole
  }
  const isNew = ({ counter, disks, seen }: History, words: string): boolean => {
    const name = [words, counter, seen.at(-1), ...disks.map(nameOf).toSorted()].join()
    return !visited.has(name) && visited.add(name).has(name)
  }

  async function after(history: History, life: Life, words: string): Promise<History> {
    const told = [...history.told, `${words}: ${life.seen.join(', ') || (life.refused ? 'refused' : 'cut')}`]
    const seen = [...history.seen.slice(-1), ...life.seen]
    if (isFork(seen)) wrong.add(`fork: ${told.join('; ')}`)
    if (!life.refused && (await start(life.left, life.counter)).refused) wrong.add(`locked out: ${told.join('; ')}`)
    return { counter: life.counter, disks: history.disks, seen, told }
  }

  async function read(history: History): Promise<void> {
    if (!isNew(history, 'read')) return
    if (history.disks.length === 0) ends.add(history.seen.at(-1) ?? '')
    for (const disk of history.disks) {
      const next = await after(history, await start(disk, history.counter), `reads ${nameOf(disk)}`)
      await read({ ...next, disks: history.disks.filter((other) => other !== disk) })
    }
  }

  async function write(history: History, left: readonly string[]): Promise<void> {
    const disks: Kept[] = []
    // What is refused once is refused for good, for the counter never falls.
    for (const disk of history.disks) if (!(await start(disk, history.counter)).refused) disks.push(disk)
    const open = { ...history, disks }
    if (!isNew(open, `write ${left.length}`)) return
    await read(open)
    const [writer, ...others] = left
    if (writer === undefined) return
    for (const disk of disks)
      for (const life of await lives(disk, open.counter, writer)) {
        const next = await after(open, life, `${writer} on ${nameOf(disk)}`)
        await write({ ...next, disks: unique([...disks, ...life.disks], nameOf) }, others)
      }
  }
  await write({ counter: value, disks: [begin], seen: [], told: [] }, writers)
  return { wrong: [...wrong], ends }
}

describe('a host that keeps every disk and cuts the power where it likes', () => {
  it('gets one history out of a store, and locks its newest state out of nothing', { timeout: 120_000 }, async () => {
    const store = await createRecordStore(home.options())
    await store.put('share', 'a', secretOf('-'))
    await store.close()
    const { value } = home.chip
    const { wrong, ends } = await explore(await keep(), value, ['a', 'b', 'c'])
    expect(wrong).toEqual([])
    expect([...ends]).toEqual(expect.arrayContaining(['-', '-a', '-b', '-ab', '-abc']))
  })
})

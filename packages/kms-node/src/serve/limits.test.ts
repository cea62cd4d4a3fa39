import { describe, expect, it } from 'vitest'
import { BoundedMap } from './bounded-map.ts'
import { createWorkQueue } from './work-queue.ts'

describe('bounded map', () => {
  it('forgets what was used longest ago', () => {
    const map = new BoundedMap<string, number>(2)
    map.set('a', 1)
    map.set('b', 2)
    map.get('a')
    map.set('c', 3)
    expect([map.get('a'), map.get('b'), map.get('c'), map.size]).toEqual([1, undefined, 3, 2])
  })
})

describe('work queue', () => {
  const signal = new AbortController().signal
  const gate = (): { open: () => void; run: () => Promise<string> } => {
    let open = (): void => undefined
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    return { open, run: () => opened.then(() => 'done') }
  }

  it('runs so many, lets so many wait in order, and refuses the rest', async () => {
    const queue = createWorkQueue({ maxRunning: 1, maxWaiting: 2 })
    const order: number[] = []
    const first = gate()
    const running = queue.enter(signal, first.run)
    const waiting = [1, 2].map((n) => queue.enter(signal, async () => order.push(n)))
    expect(queue.size).toBe(3)
    expect(await queue.enter(signal, first.run)).toBe('busy')
    first.open()
    expect(await running).toBe('done')
    await Promise.all(waiting)
    expect(order).toEqual([1, 2])
    expect(queue.size).toBe(0)
  })

  it('lets a waiting caller leave, and goes on after a failure', async () => {
    const queue = createWorkQueue({ maxRunning: 1, maxWaiting: 2 })
    const first = gate()
    const running = queue.enter(signal, first.run)
    const leaving = new AbortController()
    const left = queue.enter(leaving.signal, first.run)
    const failing = queue.enter(signal, () => Promise.reject(new Error('broken')))
    leaving.abort()
    expect(await left).toBe('cancelled')
    first.open()
    expect(await running).toBe('done')
    await expect(failing).rejects.toThrow('broken')
    expect(await queue.enter(signal, async () => 'after')).toBe('after')
  })

  it('gives every caller its turn, and no caller more than its share', async () => {
    const queue = createWorkQueue({ maxRunning: 8, maxWaiting: 16, callerShare: 1 / 4 })
    const order: string[] = []
    const slow = gate()
    const fill = Array.from({ length: 4 }, (_, n) => [1, 2].map(() => queue.enter(signal, slow.run, `holder ${n}`)))
    const mob = Array.from({ length: 9 }, () => queue.enter(signal, async () => order.push('mob'), 'mob'))
    const late = ['late', 'later'].map((name) => queue.enter(signal, async () => order.push(name), name))
    expect(queue.size).toBe(8 + 4 + 2)
    slow.open()
    await Promise.all([...fill.flat(), ...late])
    expect((await Promise.all(mob)).filter((result) => result === 'busy')).toHaveLength(5)
    expect(order.slice(0, 3)).toEqual(['mob', 'late', 'later'])
    expect(queue.size).toBe(0)
  })

  it('keeps room for others while one caller holds its whole share', async () => {
    const queue = createWorkQueue({ maxRunning: 4, maxWaiting: 16, callerShare: 1 / 4 })
    const slow = gate()
    const mob = Array.from({ length: 5 }, () => queue.enter(signal, slow.run, 'mob'))
    expect(await queue.enter(signal, async () => 'served', 'other')).toBe('served')
    slow.open()
    expect(await Promise.all(mob)).toEqual(Array.from({ length: 5 }, () => 'done'))
    expect(queue.size).toBe(0)
  })
})

import { describe, expect, it } from 'vitest'
import { createSlots } from './slots.ts'

const idle = new AbortController().signal

describe('createSlots', () => {
  it('runs at most so many at once, the rest in order', async () => {
    const slots = createSlots({ size: 2, maxWaiting: 10 })
    let running = 0
    let most = 0
    const order: number[] = []
    const work = (id: number) => async (): Promise<void> => {
      running += 1
      most = Math.max(most, running)
      order.push(id)
      await Promise.resolve()
      running -= 1
    }
    await Promise.all([1, 2, 3, 4, 5].map((id) => slots.run(idle, work(id))))
    expect(most).toBe(2)
    expect(order).toEqual([1, 2, 3, 4, 5])
  })

  it('refuses what does not fit in the line', async () => {
    const slots = createSlots({ size: 1, maxWaiting: 0 })
    const { promise, resolve } = Promise.withResolvers<void>()
    const first = slots.run(idle, () => promise)
    await expect(slots.run(idle, () => Promise.resolve())).rejects.toMatchObject({ code: 'unreachable' })
    resolve()
    await first
    await expect(slots.run(idle, () => Promise.resolve('free again'))).resolves.toBe('free again')
  })

  it('lets a waiting one leave, and gives its place to the next', async () => {
    const slots = createSlots({ size: 1, maxWaiting: 2 })
    const { promise, resolve } = Promise.withResolvers<void>()
    const controller = new AbortController()
    const first = slots.run(idle, () => promise)
    const leaving = slots.run(controller.signal, () => Promise.resolve('never'))
    const next = slots.run(idle, () => Promise.resolve('next'))
    controller.abort(new Error('left'))
    await expect(leaving).rejects.toThrow('left')
    resolve()
    await first
    expect(await next).toBe('next')
  })
})

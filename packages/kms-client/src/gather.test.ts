import type { ClusterNode, ParticipantIndex } from '@tkms/dkg'
import { describe, expect, it, vi } from 'vitest'
import { type NodeFailure, NodeFailureError } from './errors.ts'
import { describe as causeOf, gather, type GatherInput } from './gather.ts'

const nodes = [1, 2, 3, 4].map((index) => ({ index: index as ParticipantIndex, name: `n${index}` }) as ClusterNode)
const never = (): Promise<never> => new Promise(() => undefined)

function run(
  ask: GatherInput<number, number>['ask'],
  changes: Partial<GatherInput<number, number>> = {},
): ReturnType<typeof gather<number, number>> {
  return gather({
    nodes,
    needed: 2,
    nodeTimeoutMs: 5_000,
    totalTimeoutMs: 5_000,
    hedgeAfterMs: () => 5_000,
    signal: undefined,
    ask,
    open: (_node, reply) => Promise.resolve(reply),
    judge: async () => [],
    onOutrun: () => undefined,
    onFailure: () => undefined,
    ...changes,
  })
}

describe('gather', () => {
  it('returns exactly the needed answers and aborts the calls under way', async () => {
    const aborted: number[] = []
    const outrun: number[] = []
    const answers = await run(
      (node, signal) => {
        signal.addEventListener('abort', () => aborted.push(node.index))
        return node.index === 1 ? never() : Promise.resolve(node.index * 10)
      },
      { onOutrun: ({ index }) => outrun.push(index) },
    )
    expect([...answers]).toEqual([
      [2, 20],
      [3, 30],
    ])
    expect(aborted).toContain(1)
    expect(outrun).toEqual([1])
  })

  it('opens no more replies than it needs', async () => {
    const opened: number[] = []
    const outrun: number[] = []
    const answers = await run((node) => Promise.resolve(node.index), {
      open: async (node, reply) => {
        opened.push(node.index)
        await new Promise((resolve) => setImmediate(resolve))
        return reply
      },
      onOutrun: ({ index }) => outrun.push(index),
    })
    expect(opened).toEqual([1, 2])
    expect([...answers.keys()]).toEqual([1, 2])
    // The third replied as well, in time.
    expect(outrun).toEqual([])
  })

  it('opens a waiting reply in the place of one that does not verify, or that is found wrong later', async () => {
    const opened: number[] = []
    const asked: number[] = []
    const ask = (node: ClusterNode): Promise<number> => {
      asked.push(node.index)
      return Promise.resolve(node.index)
    }
    const answers = await run(ask, {
      open: async (node, reply) => {
        opened.push(node.index)
        await new Promise((resolve) => setImmediate(resolve))
        if (node.index === 1) throw new NodeFailureError(causeOf(node, 'bad-box', 'sent a box that does not open'))
        return reply
      },
      judge: async (answered) =>
        nodes
          .filter(({ index }) => index === 2 && answered.has(index))
          .map((node) => causeOf(node, 'bad-partial', 'wrong')),
    })
    expect(opened).toEqual([1, 2, 3, 4])
    expect(asked).toEqual([1, 2, 3, 4])
    expect([...answers.keys()]).toEqual([3, 4])
  })

  it('neither hedges nor gives up a node whose reply waits to be opened', async () => {
    const failures: number[] = []
    const asked: number[] = []
    const answers = await run(
      (node) => {
        asked.push(node.index)
        return Promise.resolve(node.index)
      },
      {
        hedgeAfterMs: () => 5,
        nodeTimeoutMs: 10,
        open: async (_node, reply) => {
          await new Promise((resolve) => setTimeout(resolve, 60))
          return reply
        },
        onFailure: ({ index }) => failures.push(index),
      },
    )
    expect([...answers.keys()]).toEqual([1, 2])
    expect(asked).toEqual([1, 2, 3])
    expect(failures).toEqual([])
  })

  it('asks beside a slow node without giving up on it', async () => {
    const failures: NodeFailure[] = []
    const answers = await run((node) => (node.index <= 2 ? never() : Promise.resolve(node.index)), {
      hedgeAfterMs: () => 1,
      onFailure: (failure) => failures.push(failure),
    })
    expect([...answers.keys()]).toEqual([3, 4])
    expect(failures).toEqual([])
  })

  it('asks others in the place of answers that are found wrong together', async () => {
    const failures: number[] = []
    const seen: number[][] = []
    const answers = await run((node) => Promise.resolve(node.index), {
      judge: async (answered) => {
        seen.push([...answered.keys()])
        return nodes
          .filter(({ index }) => index <= 2 && answered.has(index))
          .map((node) => causeOf(node, 'bad-partial', 'wrong'))
      },
      onFailure: ({ index }) => failures.push(index),
    })
    expect([...answers.keys()]).toEqual([3, 4])
    expect(seen).toEqual([
      [1, 2],
      [3, 4],
    ])
    expect(failures).toEqual([1, 2])
  })

  it('gives up when too many answers are found wrong, and ends with a bug of the judge as it is', async () => {
    const judge: GatherInput<number, number>['judge'] = async (answered) =>
      nodes.filter(({ index }) => answered.has(index)).map((node) => causeOf(node, 'bad-partial', 'wrong'))
    const call = run((node) => Promise.resolve(node.index), { judge })
    await expect(call).rejects.toMatchObject({ code: 'quorum-not-reached', needed: 2, got: 0 })
    const bug = new TypeError('not a node failure')
    const thrower = async (): Promise<never> => {
      throw bug
    }
    await expect(run((node) => Promise.resolve(node.index), { judge: thrower })).rejects.toBe(bug)
  })

  it('ends while answers are judged, and tells the judge', async () => {
    const leaving = new AbortController()
    const judging = Promise.withResolvers<readonly NodeFailure[]>()
    const over: boolean[] = []
    const call = run((node) => Promise.resolve(node.index), {
      signal: leaving.signal,
      judge: async (_answered, isOver) => {
        over.push(isOver())
        setTimeout(() => leaving.abort(), 5)
        const wrong = await judging.promise
        over.push(isOver())
        return wrong
      },
    })
    await expect(call).rejects.toMatchObject({ code: 'cancelled' })
    judging.resolve([])
    await vi.waitFor(() => expect(over).toEqual([false, true]))
  })

  it('reports each failed node once', async () => {
    const failures: number[] = []
    const call = run((node) => Promise.reject(new NodeFailureError(causeOf(node, 'busy', 'refused: busy'))), {
      onFailure: (failure) => failures.push(failure.index),
    })
    await expect(call).rejects.toMatchObject({ code: 'quorum-not-reached', needed: 2, got: 0, retryable: true })
    expect(new Set(failures).size).toBe(failures.length)
  })

  it('ends with a bug of the asking code as it is', async () => {
    const bug = new TypeError('not a node failure')
    await expect(run((node) => (node.index === 2 ? Promise.reject(bug) : never()))).rejects.toBe(bug)
  })

  it('ends with what the listener for failures throws', async () => {
    const bug = new TypeError('a bug of the listener')
    const call = run((node) => Promise.reject(new NodeFailureError(causeOf(node, 'busy', 'refused: busy'))), {
      onFailure: () => {
        throw bug
      },
    })
    await expect(call).rejects.toBe(bug)
  })

  it('asks nobody when it is cancelled before it starts', async () => {
    const asked: number[] = []
    const ask = (node: ClusterNode): Promise<number> => {
      asked.push(node.index)
      return never()
    }
    await expect(run(ask, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'cancelled' })
    expect(asked).toEqual([])
  })
})

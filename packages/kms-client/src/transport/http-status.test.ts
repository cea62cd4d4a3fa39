import type { Authorization, ClusterNode } from '@tkms/dkg'
import { expect, it } from 'vitest'
import { http } from './http.ts'

const node = { url: 'https://node.example' } as ClusterNode
const authorization: Authorization = { payload: new Uint8Array(0), signature: new Uint8Array(0), publicKeyId: 'none' }
const ask = (status: number): Promise<unknown> => {
  const body = new TextEncoder().encode('<html>')
  const transport = http({ exchange: () => Promise.resolve({ status, body }) })
  return transport.ask(node, authorization, { signal: new AbortController().signal, maxReplyBytes: 100 })
}

it.each([408, 429, 502, 503, 504])(
  'takes status %i of a proxy for a busy node, which breaks no rule',
  async (status) => {
    expect(await ask(status)).toEqual({ kind: 'refusal', code: 'busy' })
  },
)

it.each([400, 404, 500])('takes status %i without a code of ours for a broken reply', async (status) => {
  await expect(ask(status)).rejects.toMatchObject({ code: 'bad-reply' })
})

import { bytesToHex } from '@noble/hashes/utils.js'
import { KmsError } from '@tkms/dkg'
import type { ChainQuery, ChainReader } from './chain-reader.ts'

/** A chain in memory, and what it was asked. */
export interface FakeChain extends ChainReader {
  readonly queries: ChainQuery[]
}

/** One word of 32 bytes. */
export const word = (last: number | Uint8Array): Uint8Array => {
  const bytes = typeof last === 'number' ? Uint8Array.of(last) : last
  const out = new Uint8Array(32)
  out.set(bytes, 32 - bytes.length)
  return out
}

/** @param answers per 4-byte selector in hex ("*" for any other): the bytes returned, or the code of the error thrown */
export function fakeChain(chainId: number, answers: Record<string, Uint8Array | string>): FakeChain {
  const queries: ChainQuery[] = []
  return {
    queries,
    has: (asked) => asked === chainId,
    call: async (query) => {
      queries.push(query)
      const answer = answers[bytesToHex(query.data.subarray(0, 4))] ?? answers['*'] ?? 'chain-reverted'
      if (typeof answer === 'string') throw new KmsError(answer, 'the fake chain says so')
      return answer
    },
  }
}

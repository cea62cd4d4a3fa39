import { bytesKey } from '@tkms/dkg'
import { no, type PolicyRule, YES } from './decision.ts'
import type { RuleType } from './rule-type.ts'

const TOKEN = 'token'
const MAX_TOKENS = 256
const HASH = /^(?:0x)?([0-9a-f]{64})$/

/** Yes when the request came with a bearer token whose SHA-256 is listed. Who holds the token may be anybody: it only narrows. */
export function createTokenRule(hashes: readonly string[]): PolicyRule {
  const listed = new Set(hashes)
  return {
    name: TOKEN,
    coarse: true,
    decide({ tokenHash }) {
      if (tokenHash === undefined) return no('no-token')
      return listed.has(bytesKey(tokenHash)) ? YES : no('token-not-listed')
    },
  }
}

/** `rule: token` with `sha256:`, 1 to 256 hashes. */
export const tokenRuleType: RuleType = {
  name: TOKEN,
  parse({ sha256, ...others }, problem) {
    const unknown = Object.keys(others)
    for (const name of unknown) problem(name, 'is no option of token')
    if (!Array.isArray(sha256) || sha256.length < 1 || sha256.length > MAX_TOKENS)
      return problem('sha256', `must be a list of 1 to ${MAX_TOKENS} hashes of tokens`)
    const hashes = sha256.flatMap((text: unknown, at) => {
      const digits = typeof text === 'string' ? HASH.exec(text)?.[1] : undefined
      if (digits === undefined) problem(`sha256.${at}`, 'must be the SHA-256 of a token, 64 lower-case hex digits')
      return digits ?? []
    })
    if (hashes.length !== sha256.length || unknown.length > 0) return undefined
    return () => createTokenRule(hashes)
  },
}

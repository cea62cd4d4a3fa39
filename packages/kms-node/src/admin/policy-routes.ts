import { hexToBytes } from '@noble/hashes/utils.js'
import { KmsError, parseAuthorization } from '@tkms/dkg'
import { z } from 'zod'
import type { LivePolicy } from '../policy/live-policy.ts'
import type { DryRun } from '../serve/dry-run.ts'

export interface PolicyOperations {
  readonly policy: Pick<LivePolicy, 'state' | 'reload'>
  readonly dryRun: DryRun
}

/** What `policy explain` sends: a request as nodes take it, and how it would come. */
const explainSchema = z.strictObject({
  /** {payload, signature, publicKeyId}. */
  authorization: z.unknown(),
  address: z.string().min(1).max(64).default('127.0.0.1'),
  tokenHash: z
    .string()
    .regex(/^0x[0-9a-f]{64}$/)
    .optional(),
})

/** GET /policy: what is in force; POST /policy/reload, /policy/explain. @throws KmsError `not-found`, the code of a refusal, `bad-request` */
export async function routePolicy(
  { policy, dryRun }: PolicyOperations,
  call: { readonly asked: string; readonly readBody: () => Promise<unknown>; readonly signal: AbortSignal },
): Promise<unknown> {
  switch (call.asked) {
    case 'GET policy':
      return policy.state()
    case 'POST policy/reload':
      return policy.reload()
    case 'POST policy/explain': {
      const { authorization, address, tokenHash } = explainSchema.parse(await call.readBody())
      const result = await dryRun.explainToOperator(parseAuthorization(authorization), {
        address,
        ...(tokenHash !== undefined && { tokenHash: hexToBytes(tokenHash.slice(2)) }),
        signal: call.signal,
      })
      if (result.kind === 'report') return result.report
      const { code, skewSeconds } = result
      throw new KmsError(code, 'the request is refused before any rule is asked', {
        data: skewSeconds === undefined ? {} : { skewSeconds },
      })
    }
    default:
      throw new KmsError('not-found', 'the admin socket has no such action')
  }
}

import { KmsError } from '@tkms/dkg'
import { z } from 'zod'
import type { KeyCare } from '../key-care.ts'

export interface RouteCall {
  /** `METHOD head/:id/action`. */
  readonly asked: string
  readonly id: string
  readonly readBody: () => Promise<unknown>
}

const keyName = z.string().min(1).max(64)
const generation = z.int().min(1).max(0xffffffff)
const repairSchema = z.strictObject({ keyName, generation: generation.optional() })
const replaceSchema = z.strictObject({ node: z.union([z.string().min(1).max(64), z.int().min(1).max(0xffff)]) })
const destroySchema = z.strictObject({
  keyName,
  generation,
  confirm: z.string().max(80).optional(),
  last: z.boolean().optional(),
})

/**
 * GET /repairs, /repairs/ID, /destructions; POST /repairs (begin), /repairs/ID/approve, /deny, /replace, /retry, /give-up,
 * /destructions (sign the order).
 * @param indexOf the index of a node by name
 * @returns what is replied, undefined when the route is another's
 */
export async function routeKeyCare(
  { repairs, destroys }: KeyCare,
  indexOf: (name: string) => number | undefined,
  { asked, id, readBody }: RouteCall,
): Promise<unknown> {
  switch (asked) {
    case 'GET repairs':
      return repairs.list()
    case 'GET repairs/:id':
      return repairs.find(id)
    case 'POST repairs': {
      const wanted = repairSchema.parse(await readBody())
      return repairs.repair(wanted.keyName, wanted.generation)
    }
    case 'POST repairs/:id/approve':
      return repairs.approve(id)
    case 'POST repairs/:id/deny':
      return repairs.deny(id)
    case 'POST repairs/:id/retry':
      return repairs.retry(id)
    case 'POST repairs/:id/give-up':
      return repairs.giveUp(id)
    case 'POST repairs/:id/replace': {
      const { node } = replaceSchema.parse(await readBody())
      const index = typeof node === 'number' ? node : indexOf(node)
      if (index === undefined)
        throw new KmsError('unknown-node', `the cluster file names no node ${node}`, { data: { node } })
      return repairs.replace(id, index)
    }
    case 'GET destructions':
      return destroys.list()
    case 'POST destructions': {
      const wanted = destroySchema.parse(await readBody())
      return destroys.approve(wanted.keyName, wanted.generation, wanted.confirm, wanted)
    }
    default:
      return undefined
  }
}

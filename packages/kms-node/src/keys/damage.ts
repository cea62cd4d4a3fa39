import { isKmsError } from '../errors.ts'

/** Damage is what a record alone can have: it does not open, or does not decode. An error of the disk is thrown on. */
export function damageCode(error: unknown): string {
  if (isKmsError(error) && (error.code === 'store-corrupt' || error.code === 'bad-encoding')) return error.code
  throw error
}

/** What cannot be read counts as not there. */
export async function unlessDamaged<T>(run: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await run()
  } catch (error) {
    damageCode(error)
    return undefined
  }
}

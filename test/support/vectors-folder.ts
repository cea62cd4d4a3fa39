import { existsSync } from 'node:fs'
import { join } from 'node:path'

const beside = join(import.meta.dirname, '../../../shared')

/**
 * Where the third-party vectors are: `TKMS_VECTORS`, else `../shared/vectors` beside the clone, else nowhere.
 * A folder that exists but lacks a file is a failure, not a skip.
 */
export const vectorFolder: string | undefined =
  process.env['TKMS_VECTORS'] ?? (existsSync(beside) ? join(beside, 'vectors') : undefined)

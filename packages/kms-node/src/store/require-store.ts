import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { COMMAND } from '../command.ts'
import type { NodeConfig } from '../config/types.ts'
import { storeDirectory } from '../system.ts'
import { KEYRING_FILE } from './directory.ts'
import { storeError } from './errors.ts'

const exists = (path: string): Promise<boolean> =>
  access(path, constants.F_OK).then(
    () => true,
    () => false,
  )

/**
 * That a node which was made here still has its sealed store. A directory in which no node was made passes: opening it says what to do.
 * @throws KmsError `store-missing` with what is lost and how the cluster goes on
 */
export async function requireStore({ dataDir, name }: Pick<NodeConfig, 'dataDir' | 'name'>): Promise<void> {
  const card = join(dataDir, 'card.json')
  const directory = storeDirectory(dataDir)
  if (!(await exists(card)) || (await exists(join(directory, KEYRING_FILE)))) return
  throw storeError(
    'store-missing',
    `the store of this node is gone, and with it its identity and its shares: put a backup of ${directory} back, start the node, and repair what it says is missing. ` +
      'Without a backup another node takes its place: init one in another data directory, with another name and address, and let a member propose: ' +
      `${COMMAND} ceremony propose --reshare KEY --remove ${name} --add NEWCARD --data-dir DIR`,
    { data: { directory } },
  )
}

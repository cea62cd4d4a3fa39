import { Command } from 'commander'
import { loadNodeConfig } from '../config/node-config.ts'
import { createLog } from '../ops/log.ts'
import { openSealer } from '../seal/open-sealer.ts'
import { requireStore } from '../store/require-store.ts'
import { dataDirOf } from './options.ts'
import { COMMAND, EXIT_HELP } from './output.ts'

/** A stop that takes longer than this is cut short. */
const STOP_TIMEOUT_MS = 15_000

/** `start`: runs the node in the foreground until a signal, or with its parent. */
export function startCommand(): Command {
  return new Command('start')
    .description('run the node in the foreground; its log goes to stdout, one JSON object per line')
    .option('--exit-with-parent', 'stop when standard input ends, as it does when the parent process dies')
    .addHelpText(
      'after',
      `${EXIT_HELP}\n\nSIGTERM and SIGINT stop it gracefully; a second one at once. SIGHUP reads policy.yaml again, and the files of\nhttp.tlsCertFile and http.tlsKeyFile, which a running node also does by itself when they change: what has anything wrong\nin it is refused whole, and what was there before stays. status shows which policy is in force, and the certificate that is\nserved: one that expired, is not valid yet, or whose key is not the one in the cluster file is served with a warning (tls-warning).\n\nExample:\n  ${COMMAND} start --data-dir alice`,
    )
    .action(async (options: { readonly exitWithParent?: boolean }, command: Command) => {
      const config = await loadNodeConfig({ directory: dataDirOf(command), env: process.env })
      await requireStore(config)
      const log = createLog({ level: config.log.level, node: config.name })
      const onWarning = (problem: string): void => log.warn({ problem }, 'passphrase-unprotected')
      const sealer = await openSealer({ config, env: process.env, onWarning })
      const { startNode } = await import('../node.ts')
      const stopped = waitForStop(options.exitWithParent === true)
      const starting = startNode({ config, sealer, log })
      process.on('SIGHUP', () => {
        starting
          .then((running) => running.reloadPolicy())
          .catch((cause: unknown) => log.error({ cause }, 'policy-unreadable'))
      })
      const node = await starting.catch((cause: unknown) => {
        // What waits for the parent's end would keep a node alive that did not start.
        if (process.connected) process.disconnect()
        process.stdin.destroy()
        throw cause
      })
      process.send?.({ type: 'ready', url: node.url, addresses: node.addresses })
      const ended = await Promise.race([stopped, node.failed])
      if (typeof ended === 'string') log.info({ reason: ended }, 'node-stopping')
      else log.fatal({ cause: ended }, 'node-must-stop')
      setTimeout(() => process.exit(1), STOP_TIMEOUT_MS).unref()
      await node.stop()
      log.info('node-stopped')
      process.exit(typeof ended === 'string' ? 0 : 1)
    })
}

/** Resolves with the reason to stop. A parent that started us with an IPC channel takes us along when it goes. */
function waitForStop(exitWithParent: boolean): Promise<string> {
  return new Promise((resolve) => {
    let asked = false
    const onSignal = (signal: string): void => {
      if (asked) process.exit(130)
      asked = true
      resolve(signal)
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
    process.on('disconnect', () => resolve('parent gone'))
    if (!exitWithParent) return
    process.stdin.on('end', () => resolve('parent gone'))
    process.stdin.on('error', () => resolve('parent gone'))
    process.stdin.resume()
  })
}

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as passed } from 'node:timers/promises'
import { freePorts } from '@tkms/examples/free-ports'

const START_TIMEOUT_MS = 30_000
const CALL_TIMEOUT_MS = 10_000
const POLL_MS = 100

/** Whether a program answers when it is asked its version. */
export const isInstalled = (program: string): boolean => spawnSync(program, ['--version']).status === 0

/** An alert that fires. */
export interface Firing {
  readonly name: string
  readonly instance: string
}

/** A real Prometheus that scrapes and judges every second or two. */
export interface Prometheus {
  firing(): Promise<readonly Firing[]>
  /** What is wrong with rules or targets, as Prometheus says it. */
  ruleErrors(): Promise<readonly string[]>
  stop(): Promise<void>
}

export interface PrometheusOptions {
  /** Of its own; made here. */
  readonly directory: string
  /** "127.0.0.1:7443" of each node, over TLS. */
  readonly targets: readonly string[]
  /** YAML. */
  readonly rules: string
  readonly scrapeSeconds: number
}

export async function startPrometheus(options: PrometheusOptions): Promise<Prometheus> {
  const { directory, targets, rules, scrapeSeconds } = options
  await mkdir(directory, { recursive: true })
  const [port = 0] = await freePorts(1)
  await writeFile(join(directory, 'rules.yml'), rules)
  const config = {
    global: { scrape_interval: `${scrapeSeconds}s`, scrape_timeout: `${scrapeSeconds}s`, evaluation_interval: '1s' },
    rule_files: ['rules.yml'],
    scrape_configs: [
      {
        job_name: 'tkms',
        scheme: 'https',
        tls_config: { insecure_skip_verify: true },
        static_configs: [{ targets }],
      },
    ],
  }
  // JSON is YAML.
  await writeFile(join(directory, 'prometheus.yml'), JSON.stringify(config))
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  const exited = once(child, 'exit')
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(CALL_TIMEOUT_MS) })
    if (!response.ok) throw new Error(`Prometheus says ${response.status} to ${path}`)
    return path.startsWith('/api/') ? ((await response.json()) as { readonly data: unknown }).data : response.text()
  }
  const endMs = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const isReady = await get('/-/ready').then(
      () => true,
      () => false,
    )
    if (isReady) break
    if (child.exitCode !== null || performance.now() > endMs) {
      await stop()
      throw new Error('Prometheus does not start')
    }
    await passed(POLL_MS)
  }
  return {
    firing: async () => {
      const { alerts } = (await get('/api/v1/alerts')) as {
        readonly alerts: readonly {
          readonly state: string
          readonly labels: { readonly alertname: string; readonly instance: string }
        }[]
      }
      return alerts
        .filter(({ state }) => state === 'firing')
        .map(({ labels }) => ({ name: labels.alertname, instance: labels.instance }))
    },
    ruleErrors: async () => {
      const { groups } = (await get('/api/v1/rules')) as {
        readonly groups: readonly {
          readonly rules: readonly { readonly name: string; readonly lastError?: string }[]
        }[]
      }
      return groups.flatMap((group) =>
        group.rules.flatMap(({ name, lastError = '' }) => (lastError === '' ? [] : [`${name}: ${lastError}`])),
      )
    },
    stop,
  }
}

import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseAllDocuments } from 'yaml'

/** Files under `deploy/` and `docker/`, as operators install them. */

const root = resolve(import.meta.dirname, '../..')

export const deploymentPath = (path: string): string => join(root, path)

export const deploymentText = (path: string): string => readFileSync(deploymentPath(path), 'utf8')

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
}

/** Every document of a YAML file; anything wrong in one is an error. */
export function yamlDocuments(path: string): readonly unknown[] {
  return parseAllDocuments(deploymentText(path), { uniqueKeys: true, merge: true }).map((document) => {
    const [problem] = [...document.errors, ...document.warnings]
    if (problem !== undefined) throw problem
    return document.toJS() as unknown
  })
}

/** Every manifest of `deploy/kubernetes`. */
export function kubernetesManifests(): readonly Manifest[] {
  const files = readdirSync(deploymentPath('deploy/kubernetes')).filter((name) => name.endsWith('.yaml'))
  return files.flatMap((name) => yamlDocuments(`deploy/kubernetes/${name}`) as readonly Manifest[])
}

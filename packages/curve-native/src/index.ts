export { loadNativeCurve, type SelectedCurve, selectCurve } from './select-curve.ts'

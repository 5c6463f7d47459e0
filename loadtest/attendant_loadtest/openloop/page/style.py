"""How the page looks: light or dark as its reader has it, and nothing in it that only a colour says."""

STYLE = """
:root { color-scheme: light dark; --text: #1d2430; --back: #fff; --quiet: #4f5866; --line: #c9ced6; --ink: #1d4f91 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ef; --back: #14181f; --quiet: #b0b8c4; --line: #454b55; --ink: #8fc0ff }
}
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--text); background: var(--back) }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } h3 { font-size: 1rem; margin-bottom: .2rem }
.note { color: var(--quiet); font-size: .9rem }
.wide { overflow-x: auto }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
dl { display: grid; grid-template-columns: max-content auto; gap: 0 1rem } dd { margin: 0; overflow-wrap: anywhere }
dt { color: var(--quiet) }
figure { margin: 0 } figcaption { color: var(--quiet); font-size: .9rem }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif }
svg text { fill: var(--text) }
svg .grid { stroke: var(--line); stroke-width: 1 }
svg .series { fill: none; stroke: var(--ink); stroke-width: 2 }
svg .mark { fill: var(--back); stroke: var(--ink); stroke-width: 2 }
svg .limit { stroke: var(--text); stroke-width: 1.5; stroke-dasharray: 2 3 }
svg .heat { fill: var(--ink) }
"""

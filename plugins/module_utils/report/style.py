# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The style sheet of ``report.html``. It stands in the file itself: a report is one file that can be sent by mail."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --ink: #1b1f27; --soft: #5a6372; --line: #e1e5eb; --track: #eceff4;
  --good: #14703c; --good-soft: #e2f3e8; --bad: #b3261e; --bad-soft: #fbe9e7; --warn: #8a5a00; --warn-soft: #fdf1d6;
  --odd: #5b47a8; --odd-soft: #eeeafa; --bar: #4d7fb8; --bar-over: #c9463d;
  --piece: #3f6ea3; --piece-next: #5580b2; --piece-over: #b8392f;
  --go: #14703c; --no: #a3221b; --loud: #7a0f0a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151b; --card: #1b1f27; --ink: #e8ebf0; --soft: #9ba5b4; --line: #2d333e; --track: #262c36;
    --good: #6fd39a; --good-soft: #17342a; --bad: #ff9a90; --bad-soft: #3d1f1e; --warn: #f0c465; --warn-soft: #392d14;
    --odd: #bcaef5; --odd-soft: #2a2545; --bar: #6a9bd4; --bar-over: #e5675d;
    --piece: #3f6ea3; --piece-next: #4a6f9c; --piece-over: #b8392f;
    --go: #17663a; --no: #8f241d; --loud: #7a0f0a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  overflow-wrap: anywhere;
}
main { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem 3rem; }
h1, h2, h3, p, ul, ol, dl, dd, table { margin: 0; }
code, pre, .id {
  font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace;
  font-size: .875em;
}
pre { margin: 0; white-space: pre-wrap; }
.num { font-variant-numeric: tabular-nums; white-space: nowrap; }
.soft { color: var(--soft); }

header { color: #fff; background: var(--no); }
header.go { background: var(--go); }
header.loud {
  background: var(--loud);
  border-top: 14px solid; border-image: repeating-linear-gradient(-45deg, #ffcf3f 0 18px, #1b1b1b 18px 36px) 14;
}
header .in { max-width: 62rem; margin: 0 auto; padding: 2.25rem 1.25rem 2rem; }
header .what { font-size: .95rem; opacity: .85; }
header h1 {
  font-size: clamp(2.4rem, 7vw, 3.9rem); line-height: 1.1; font-weight: 750; letter-spacing: -.02em;
  margin: .1em 0 .2em;
}
header .said { font-size: 1.2rem; line-height: 1.45; max-width: 54rem; }
header .chips { display: flex; flex-wrap: wrap; gap: .5rem; margin-top: 1.25rem; padding: 0; list-style: none; }
header .chips li { padding: .15rem .75rem; border-radius: 1rem; background: rgb(255 255 255 / .16); font-size: .92rem; }

section { margin-top: 2.25rem; }
section > h2 { font-size: 1.2rem; font-weight: 650; margin-bottom: .75rem; letter-spacing: -.005em; }
section > h2 + .lead { margin: -.4rem 0 .9rem; color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.15rem; }
.card + .card { margin-top: .6rem; }
.todo { border: 2px solid var(--bar-over); }
.todo h2 { font-size: 1.2rem; margin-bottom: .4rem; }
.todo ol, .reasons ul { padding-left: 1.25rem; }
.todo li + li, .reasons li + li { margin-top: .3rem; }

.pill {
  display: inline-block; padding: .06rem .6rem; border-radius: 99px;
  font-size: .8rem; font-weight: 600; white-space: nowrap;
  background: var(--track); color: var(--soft);
}
.pill.pass, .pill.ok { background: var(--good-soft); color: var(--good); }
.pill.fail, .pill.failed { background: var(--bad-soft); color: var(--bad); }
.pill.warn, .pill.over { background: var(--warn-soft); color: var(--warn); }
.pill.inconclusive { background: var(--odd-soft); color: var(--odd); }

table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 500; font-size: .84rem; color: var(--soft); }
th, td { padding: .4rem .9rem .4rem 0; vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
.criteria tbody tr { border-top: 1px solid var(--line); }
.criteria td:first-child { width: 8.5rem; }

.strip { display: flex; gap: 2px; height: 24px; margin-bottom: .4rem; }
.strip i {
  display: block; min-width: 3px; border-radius: 4px; background: var(--piece); color: #fff;
  font-style: normal; font-size: .78rem; line-height: 24px; text-indent: .5rem;
  overflow: hidden; white-space: nowrap; text-overflow: ellipsis;
}
.strip i:nth-child(even) { background: var(--piece-next); }
.strip i.over, .strip i.failed { background: var(--piece-over); }
.steps { list-style: none; padding: 0; margin-top: 1.1rem; }
.steps li {
  display: grid; grid-template-columns: 9.5rem 1fr 11rem 6.6rem; gap: .2rem 1rem; align-items: center;
  padding: .42rem 0; border-top: 1px solid var(--line);
}
.steps .name { font-weight: 550; }
.steps .took { text-align: right; }
.steps .pill { justify-self: end; }
.steps .error { grid-column: 2 / -1; color: var(--bad); white-space: pre-wrap; }
.track { position: relative; height: 14px; }
.track .room {
  position: absolute; inset: 0 auto 0 0; border-radius: 4px; background: var(--track);
  border-right: 2px solid var(--soft);
}
.track .used { position: absolute; inset: 0 auto 0 0; min-width: 3px; border-radius: 4px; background: var(--bar); }
.track .used.free { opacity: .45; }
.track .past {
  position: absolute; inset: 0 auto 0 auto; border-radius: 0 4px 4px 0;
  background: repeating-linear-gradient(-45deg, var(--bar-over) 0 5px, transparent 5px 8px),
    color-mix(in srgb, var(--bar-over) 45%, transparent);
}
.track .used.failed { background: var(--bar-over); }

.check { border-left: 4px solid var(--line); }
.check.fail { border-left-color: var(--bar-over); }
.check.inconclusive { border-left-color: var(--odd); }
.check.warn { border-left-color: #d9a62e; }
.check .top { display: flex; flex-wrap: wrap; gap: .25rem .7rem; align-items: baseline; }
.check .top .title { font-weight: 600; flex: 1 1 14rem; }
.check .top .where { color: var(--soft); font-size: .9rem; }
.check .why { margin-top: .3rem; }
.check table { margin-top: .5rem; font-size: .93rem; }
.check tbody tr { border-top: 1px solid var(--line); }
.check th:first-child, .check td:first-child { width: 26%; }
.check td.bad { color: var(--bad); font-weight: 600; }
details > summary { cursor: pointer; color: var(--soft); font-size: .9rem; width: fit-content; }
details > summary:hover { color: var(--ink); }
.check details { margin-top: .45rem; }
.facts { display: grid; grid-template-columns: fit-content(38%) 1fr; gap: .25rem 1.25rem; font-size: .93rem; }
.facts dt { color: var(--soft); }
.check .facts { margin-top: .4rem; padding: .7rem .9rem; border-radius: 8px; background: var(--page); }

.shot { margin: .8rem 0 0; }
.shot img { display: block; max-width: 100%; border: 1px solid var(--line); border-radius: 6px; }
.shot figcaption { margin-top: .2rem; color: var(--soft); font-size: .85rem; }
.kept { max-height: 24rem; overflow: auto; margin-top: .4rem; padding: .7rem .9rem; border-radius: 8px; background: var(--page); }

.passed { padding: 0; }
.passed .check { border: 0; border-top: 1px solid var(--line); margin: 0; }
.passed .check:first-child { border-top: 0; }
.passed .check > summary { list-style: none; width: auto; padding: .55rem 1.15rem; font-size: 1rem; color: inherit; }
.passed .check > summary::-webkit-details-marker { display: none; }
.passed .check > summary:hover { background: var(--page); }
.passed .check > .facts, .passed .check > .shot, .passed .check > details, .passed .check > p { margin: 0 1.15rem .8rem; }
.passed .title { font-weight: 450; }
.seen { display: block; color: var(--soft); font-size: .9rem; }
.seen b { font-weight: 550; color: var(--ink); }
h3 { font-size: .98rem; font-weight: 600; margin: 1.3rem 0 .5rem; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem; }

@media (max-width: 640px) {
  body { font-size: 15px; }
  header .in { padding: 1.6rem 1.25rem 1.5rem; }
  header .said { font-size: 1.08rem; }
  .steps li { grid-template-columns: 1fr auto; }
  .steps .pill { grid-row: 1; grid-column: 2; }
  .steps .track { grid-row: 2; grid-column: 1 / -1; }
  .steps .took { grid-row: 3; grid-column: 1 / -1; text-align: left; font-size: .9rem; color: var(--soft); }
  .steps .error { grid-column: 1 / -1; }
  .criteria thead, .measures thead { display: none; }
  .criteria tr, .measures tr { display: block; padding: .5rem 0; }
  .criteria td, .measures td { display: block; width: auto !important; padding: .05rem 0; }
  .criteria td:empty { display: none; }
  .measures td[data-of]::before { content: attr(data-of) " "; color: var(--soft); font-weight: 400; }
}
@media print {
  :root {
    color-scheme: light;
    --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #ccc; --track: #e8e8e8;
    --good: #14703c; --good-soft: #e2f3e8; --bad: #b3261e; --bad-soft: #fbe9e7; --warn: #8a5a00; --warn-soft: #fdf1d6;
    --odd: #5b47a8; --odd-soft: #eeeafa; --bar: #4d7fb8; --bar-over: #c9463d; --go: #14703c; --no: #a3221b;
  }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 11pt; }
  main, header .in { max-width: none; }
  .card, .steps li, .passed .check { break-inside: avoid; }
  .passed { break-inside: auto; }
  section > h2, h3 { break-after: avoid; }
}
"""

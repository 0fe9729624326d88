"""How the page looks, by day and by night."""

STYLE = """
:root{--paper:#faf9f6;--card:#fff;--ink:#1d2327;--soft:#5d666d;--line:#e2dfd8;--warn:#9a3412;
--warnbg:#fdf0e6;--s0:#2a6f97;--s1:#c8553d;--s2:#4f7a48;--s3:#80589a;--s4:#a37a00;--s5:#5b6570;
--heat:#c0392b}
@media(prefers-color-scheme:dark){:root{--paper:#14181b;--card:#1c2226;--ink:#e8e6e1;--soft:#9aa4ab;
--line:#2e363b;--warn:#f2b48a;--warnbg:#33241a;--s0:#6bb3dd;--s1:#ef8a72;--s2:#8fc185;--s3:#bd98d6;
--s4:#e0b84a;--s5:#a7b1b9;--heat:#ff7a6b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:880px;margin:0 auto;padding:48px 24px 80px}
header{margin-bottom:28px}
h1{font-size:40px;line-height:1.15;margin:4px 0 8px;letter-spacing:-.02em;overflow-wrap:anywhere}
h2{font-size:21px;margin:0 0 4px;letter-spacing:-.01em}
h3{font-size:15px;margin:0 0 6px}
p{margin:0 0 6px}
.kind{color:var(--s0);font-weight:600;font-size:14px}
.facts{color:var(--soft);font-size:14px}
.warning{background:var(--warnbg);color:var(--warn);padding:8px 12px;border-radius:8px;
margin-top:12px;font-size:14px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:14px;
margin-bottom:20px}
.card{background:var(--card);border:1px solid var(--line);border-top:4px solid var(--c);
border-radius:10px;padding:14px 16px}
.card p{font-size:14px;color:var(--soft);margin:0}
.card p b{color:var(--ink)}
.card .big{font-size:32px;line-height:1.15;color:var(--ink);font-weight:650;
font-variant-numeric:tabular-nums}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:22px 24px;
margin-top:20px}
section>p{color:var(--soft);font-size:14px}
svg{display:block;width:100%;height:auto;margin-top:10px}
svg text{font-family:inherit;fill:var(--ink)}
.tick{font-size:12px;fill:var(--soft)!important;font-variant-numeric:tabular-nums}
.axis{font-size:12.5px;fill:var(--soft)!important}
.name{font-size:13.5px;font-weight:600}
.tint{fill:var(--c)!important}
.lead{stroke:var(--soft);stroke-width:1;opacity:.6}
.hint{font-size:12px;fill:var(--soft)!important}
.grid{stroke:var(--line);stroke-width:1}
.thread{fill:none;stroke:var(--line);stroke-width:2;stroke-dasharray:2 5;stroke-linecap:round}
.c0{--c:var(--s0)}.c1{--c:var(--s1)}.c2{--c:var(--s2)}.c3{--c:var(--s3)}.c4{--c:var(--s4)}
.c5{--c:var(--s5)}
.dot{fill:var(--c);stroke:var(--card);stroke-width:2}
.speck{fill:var(--c);opacity:.55}
.band{fill:var(--c);opacity:.16}
.mark{stroke:var(--c);stroke-width:3;stroke-linecap:round}
.curve{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}
.under{fill:var(--c);opacity:.1}
.heat{stroke:var(--heat);stroke-width:1.5;stroke-dasharray:5 4}
.heat-text{fill:var(--heat)!important}
.own{fill:var(--s1)}.shared{fill:var(--s0);opacity:.55}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0 0}
.legend span::before{content:"";display:inline-block;width:11px;height:11px;border-radius:3px;
background:var(--c);margin-right:7px}
.scroll{overflow-x:auto;margin-top:10px}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:7px 10px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}
th:first-child,td:first-child{text-align:left;padding-left:0}
tbody tr:last-child td{border-bottom:0}
pre{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:12px 14px;
overflow-x:auto;font:12.5px/1.6 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
margin:10px 0}
section h3{margin-top:16px}
.card h3{margin-top:0}
ul{margin:6px 0 0;padding-left:20px;font-size:14px;color:var(--soft)}
details{margin-top:12px;font-size:14px}
summary{cursor:pointer;color:var(--s0)}
@media(max-width:600px){main{padding:28px 14px}section{padding:16px}h1{font-size:30px}}
"""

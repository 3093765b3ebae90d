package conformance

import (
	"maps"
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

// waterfall is a journal of three models, of which one window cannot settle: cay is
// short, its prefunding pays 20 and ann 10 for it, and of the rest its payment m2 rolls
// over, by which cay is owed what was paid for it.
const waterfall = `
1  open    window=1
2  open    window=2 model=fast method=gross
3  open    window=3 model=pairs method=bilateral
4  cap     ann> 1000 CNY
5  cap     bob> 1000 CNY
6  cap     cay> 1000 CNY
7  deposit cay> 20 CNY key=d1
8  hold    m1 ann>bob 100 CNY asker=bob key=k1
9  post    m1 ann>bob 100 CNY window=1
10 hold    m2 cay>bob 60 CNY asker=bob key=k2
11 post    m2 cay>bob 60 CNY window=1
12 hold    m3 bob>cay 10 CNY asker=cay key=k3
13 post    m3 bob>cay 10 CNY window=1
14 hold    p1 ann>bob 30 CNY asker=bob key=k4 model=pairs auth_window=3
15 post    p1 ann>bob 30 CNY window=3
16 hold    p2 bob>ann 50 CNY asker=ann key=k5 model=pairs
17 post    p2 bob>ann 50 CNY window=3 fees=switch:ann>hub:1:keep
18 hold    g1 ann>bob 5 CNY asker=bob key=k6 model=fast
19 post    g1 ann>bob 5 CNY window=2
20 hold    g2 bob>ann 4 CNY asker=ann key=k7 model=fast
21 post    g2 bob>ann 4 CNY window=2
22 close   window=1
23 instruct window=1 sheet=1/1-22/ann:100,bob:-150,cay:50
24 settle  ann> 40 CNY window=1 ref=i1
25 settle  ann> 60 CNY window=1 ref=i2
26 short   cay> 50 CNY window=1 ref=i3
27 cover   cay>cay 20 CNY window=1 ref=i4
28 cover   cay>ann 10 CNY window=1 ref=i5
29 defer   m2 cay>bob 60 CNY window=1 auth_window=4
30 recast  window=1 sheet=1/1-22/ann:100,bob:-90,cay:-10
31 settle  >bob 90 CNY window=1 ref=i6
32 settle  >cay 40 CNY window=1 ref=i7
33 settled window=1 sheet=1/1-22/ann:100,bob:-90,cay:-10
34 close   window=3 model=pairs method=bilateral
35 instruct window=3 sheet=3/3-34/ann:-19,bob:20,hub:-1/pairs:bilateral/bob>ann:20,ann>hub:1
36 settle  bob>ann 20 CNY window=3 ref=j1
37 settle  ann>hub 1 CNY window=3 ref=j2
38 settled window=3 sheet=3/3-34/ann:-19,bob:20,hub:-1/pairs:bilateral/bob>ann:20,ann>hub:1
39 close   window=2 model=fast method=multilateral
40 instruct window=2 sheet=2/2-39/ann:1,bob:-1/fast:gross/ann>bob:5,bob>ann:4
41 settle  ann>bob 5 CNY window=2
42 settle  bob>ann 4 CNY window=2
43 settled window=2 sheet=2/2-39/ann:1,bob:-1/fast:gross/ann>bob:5,bob>ann:4
44 resume  cay>
45 hold    r1 bob>cay 60 CNY asker=bob key=k8 operation=refund original=m2
46 post    r1 bob>cay 60 CNY window=4
`

func TestAWaterfallWrittenByHandAddsUp(t *testing.T) {
	sheets, positions, err := Recompute(written(t, waterfall, ""))
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[tongma.ParticipantID]int64{"ann": -10, "bob": 0, "cay": 10, "hub": 0} {
		if got := positions[Account{who, tongma.CNY}].Position; got != want {
			t.Errorf("%s: %d, want %d", who, got, want)
		}
	}
	if left := positions[Account{"cay", tongma.CNY}].Prefunding; left != 0 {
		t.Errorf("%d are left of what cay prefunded", left)
	}
	methods := []string{multilateral, gross, bilateral, multilateral, bilateral, multilateral}
	for i, w := range sheets {
		if want := []string{"", "fast", "pairs", "", "pairs", "fast"}[i]; w.Model != want || w.Method != methods[i] || len(w.Due) != 0 {
			t.Errorf("window %d: model %q, %s, %v is due", w.Window, w.Model, w.Method, w.Due)
		}
	}
	want := map[Pair]Cell{{"cay", "bob", tongma.CNY}: {60, 1}, {"cay", "ann", tongma.CNY}: {10, 0}, {"bob", "cay", tongma.CNY}: {60, 1}}
	if w := sheets[3]; !maps.Equal(w.Matrix, want) || w.Payments != 2 || sheets[0].Payments != 2 {
		t.Errorf("what rolled over: %+v, want %v", w, want)
	}
}

// TestAWindowsStateFollowsItsLegs: a journal that ends in the middle says how far
// the settlement has come.
func TestAWindowsStateFollowsItsLegs(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(waterfall), "\n")
	for entry, want := range map[int]string{21: "open", 22: "closed", 23: "collecting", 25: "collecting", 26: "short", 28: "short", 30: "paying", 32: "paying", 33: "settled"} {
		sheets, _, err := Recompute(written(t, strings.Join(lines[:entry], "\n"), ""))
		if err != nil || sheets[0].State != want {
			t.Errorf("behind entry %d: %v, %v, want %s", entry, err, sheets[0].State, want)
		}
	}
	sheets, _, _ := Recompute(written(t, strings.Join(lines[:28], "\n"), ""))
	if want := (map[Pair]int64{{"cay", "", tongma.CNY}: 20, {"bob", "", tongma.CNY}: -150}); !maps.Equal(sheets[0].Due, want) {
		t.Errorf("due are %v, want %v", sheets[0].Due, want)
	}
}

// TestAWaterfallThatDoesNotAddUpIsRefused: one line is changed at a time.
func TestAWaterfallThatDoesNotAddUpIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, line, says string }{
		{"the model without a name comes first", "1 open window=1 model=fast", "not the first"},
		{"a model twice", "3 open window=3 model=fast", "not the first"},
		{"a window out of its order", "3 open window=4 model=pairs", "not the first"},
		{"an unknown method", "3 open window=3 model=pairs method=lottery", "no method"},
		{"an unknown model", "14 hold p1 ann>bob 30 CNY asker=bob key=k4 model=odd", `no window of model "odd"`},
		{"another model's window", "14 hold p1 ann>bob 30 CNY asker=bob key=k4 model=pairs auth_window=1", "while 3 is open"},
		{"posted into another model's window", "15 post p1 ann>bob 30 CNY window=1", "while 3 is open"},
		{"a refund in another model", "45 hold r1 bob>cay 60 CNY asker=bob key=k8 operation=refund original=m2 model=pairs", "a refund in model"},
		{"another model's window is closed", "34 close window=3", `of model "pairs"`},
		{"more than is due", "25 settle ann> 61 CNY window=1 ref=i2", "no leg of 61"},
		{"a part without an instruction", "24 settle ann> 40 CNY window=1", "without an instruction"},
		{"an instruction twice", "25 settle ann> 40 CNY window=1 ref=i1", "answered before"},
		{"a creditor too early", "26 settle >bob 1 CNY window=1 ref=i3", "before the last debtor"},
		{"the other way round", "36 settle ann>bob 20 CNY window=3 ref=j1", "no leg of 20"},
		{"gross is not offset", "41 settle ann>bob 1 CNY window=2", "a part of 1 of the 5"},
		{"short of more than is due", "26 short cay> 51 CNY window=1 ref=i3", "no leg of 51"},
		{"a creditor is short", "26 short bob> 1 CNY window=1 ref=i3", "no leg of 1"},
		{"nobody is short", "26 short >bob 1 CNY window=1 ref=i3", "names no debtor"},
		{"cover for who was not short", "26 suspend cay>", "was not found short"},
		{"cover with more than is prefunded", "7 deposit cay> 19 CNY key=d1", "has prefunded 19"},
		{"nobody covers", "28 cover cay> 10 CNY window=1 ref=i5", "no payer"},
		{"put off though nobody is short", "26 suspend cay>; 27 suspend ann>; 28 suspend bob>", "nobody was found short"},
		{"put off twice", "30 defer m2 cay>bob 60 CNY window=1 auth_window=4", "does not hold"},
		{"put off from another window", "29 defer p1 ann>bob 30 CNY window=1 auth_window=4", "does not hold"},
		{"put off into a window that is not open", "29 defer m2 cay>bob 60 CNY window=1 auth_window=3", "while 4 is open"},
		{"another amount is put off", "29 defer m2 cay>bob 59 CNY window=1 auth_window=4", "another payment"},
		{"settled before the new sheet", "30 suspend ann>", "not drawn up anew"},
		{"the sheet from before", "30 recast window=1 sheet=1/1-22/ann:100,bob:-150,cay:50", "sheet hash"},
		{"a new sheet for nothing", "34 recast window=3", "the window is open"},
		{"paid back too little", "32 settle >cay 39 CNY window=1 ref=i7", "1 legs are not confirmed"},
		{"settled with the old sheet", "33 settled window=1 sheet=1/1-22/ann:100,bob:-150,cay:50", "sheet hash"},
		{"a method that the sheet does not follow", "3 open window=3 model=pairs method=gross", "sheet hash"},
		{"resumed without having been suspended", "26 resume cay>", "so already"},
		{"who is short pays on", "44 hold z1 cay>bob 1 CNY asker=bob key=k9", "is suspended"},
	} {
		_, _, err := Recompute(written(t, waterfall, tt.line))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

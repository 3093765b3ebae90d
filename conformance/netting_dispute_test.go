package conformance

import (
	"maps"
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

// quarrels is a journal in which all sorts of disputes come to an end.
const quarrels = `
1  open    window=1
2  open    window=2 model=disputes
3  cap     ann> 1000 CNY
4  cap     bob> 1000 CNY
5  hold    p1 ann>bob 100 CNY asker=bob key=k1
6  post    p1 ann>bob 100 CNY window=1
7  hold    r1 bob>ann 20 CNY asker=bob key=k2 operation=refund original=p1
8  post    r1 bob>ann 20 CNY window=1
9  dispute d1 ann>bob 30 CNY original=p1 asker=ann key=q1 model=disputes auth_window=2 stage=raised expiry=2026-11-22T10:00:20.000Z
10 dispute d2 ann>bob 25 CNY original=p1 asker=ann key=q2 model=disputes stage=raised expiry=2026-11-22T10:00:11.000Z
11 dispute d3 ann>bob 25 CNY original=p1 asker=ann key=q3 model=disputes stage=raised expiry=2026-11-22T10:00:30.000Z
12 dispute-step d1 ann>bob 30 CNY original=p1 asker=bob model=disputes stage=represented expiry=2026-11-22T10:00:20.000Z
13 dispute-step d2 ann>bob 25 CNY original=p1 model=disputes stage=deemed-accepted window=2
14 dispute-step d3 ann>bob 25 CNY original=p1 asker=ann model=disputes stage=withdrawn
15 dispute-step d1 ann>bob 30 CNY original=p1 asker=ann model=disputes stage=pre-arbitration expiry=2026-11-22T10:00:20.000Z
16 dispute-step d1 ann>bob 30 CNY original=p1 asker=bob model=disputes stage=arbitration
17 dispute-step d1 ann>bob 30 CNY original=p1 model=disputes stage=reject-proposed maker=eve
18 dispute-step d1 ann>bob 30 CNY original=p1 model=disputes stage=arbitration maker=eve checker=ivy
19 dispute-step d1 ann>bob 30 CNY original=p1 model=disputes stage=uphold-proposed maker=ivy
20 dispute-step d1 ann>bob 30 CNY original=p1 model=disputes stage=upheld maker=ivy checker=eve window=2
21 hold    r2 bob>ann 25 CNY asker=bob key=k3 operation=refund original=p1
`

func TestDisputesWrittenByHandAddUp(t *testing.T) {
	sheets, positions, err := Recompute(written(t, quarrels, ""))
	if err != nil {
		t.Fatal(err)
	}
	if ann, bob := positions[Account{"ann", tongma.CNY}], positions[Account{"bob", tongma.CNY}]; ann.Position != 100-20-25-30 || bob.Position != -ann.Position || bob.Reserved != 25 {
		t.Errorf("ann %+v, bob %+v", ann, bob)
	}
	if want := (map[Pair]Cell{{"bob", "ann", tongma.CNY}: {55, 0}}); !maps.Equal(sheets[1].Matrix, want) || sheets[1].Payments != 0 {
		t.Errorf("%+v, want %v", sheets[1], want)
	}
}

func TestDisputesThatDoNotAddUpAreRefused(t *testing.T) {
	const d1 = "ann>bob 30 CNY original=p1 model=disputes "
	for _, tt := range []struct{ name, line, says string }{
		{"more than is left", "11 dispute d3 ann>bob 26 CNY original=p1 asker=ann key=q3 model=disputes stage=raised", "refunds and disputes have 75"},
		{"raised by who was paid", "11 dispute d3 ann>bob 25 CNY original=p1 asker=bob key=q3 model=disputes stage=raised", "not raised by who paid"},
		{"of a refund", "11 dispute d3 bob>ann 20 CNY original=r1 asker=bob key=q3 model=disputes stage=raised", "what was not paid"},
		{"of nothing", "11 dispute d3 ann>bob 25 CNY original=p9 asker=ann key=q3 model=disputes stage=raised", "what was not paid"},
		{"a key twice", "11 dispute d3 ann>bob 25 CNY original=p1 asker=ann key=q1 model=disputes stage=raised", "used before"},
		{"an id twice", "11 dispute d1 ann>bob 25 CNY original=p1 asker=ann key=q3 model=disputes stage=raised", "there before"},
		{"a model that is not there", "11 dispute d3 ann>bob 25 CNY original=p1 asker=ann key=q3 model=odd stage=raised", "is open"},
		{"born older", "11 dispute d3 ann>bob 25 CNY original=p1 asker=ann key=q3 model=disputes stage=arbitration", "not raised by"},
		{"a step of nothing", "12 dispute-step d9 " + d1 + "asker=bob stage=represented", "no such dispute"},
		{"out of turn", "12 dispute-step d1 " + d1 + "asker=ann stage=represented", "turn of the payee"},
		{"a stage left out", "12 dispute-step d1 " + d1 + "asker=ann stage=pre-arbitration", `from "raised" to "pre-arbitration"`},
		{"too late", "9 dispute d1 ann>bob 30 CNY original=p1 asker=ann key=q1 model=disputes stage=raised expiry=2026-11-22T10:00:11.000Z", "has passed"},
		{"the clock too early", "12 dispute-step d1 " + d1 + "stage=deemed-accepted window=2", "has not passed"},
		{"another amount", "12 dispute-step d1 ann>bob 31 CNY original=p1 model=disputes asker=bob stage=represented", "another dispute"},
		{"an end that pays twice", "14 dispute-step d2 ann>bob 25 CNY original=p1 model=disputes asker=bob stage=accepted window=2", `from "deemed-accepted"`},
		{"withdrawn, and paid", "14 dispute-step d3 ann>bob 25 CNY original=p1 asker=ann model=disputes stage=withdrawn window=2", "moves nothing"},
		{"accepted, and not paid", "13 dispute-step d2 ann>bob 25 CNY original=p1 model=disputes stage=deemed-accepted", "it names window 0"},
		{"paid in another window", "13 dispute-step d2 ann>bob 25 CNY original=p1 model=disputes stage=deemed-accepted window=1", "while 2 is open"},
		{"a ruling of nobody", "17 dispute-step d1 " + d1 + "stage=reject-proposed", "proposed by"},
		{"a ruling by one", "20 dispute-step d1 " + d1 + "stage=upheld maker=ivy checker=Ivy window=2", "decided by"},
		{"a ruling by a party", "17 dispute-step d1 " + d1 + "asker=ann stage=uphold-proposed maker=ann", "turn of the maker"},
		{"a return and a chargeback", "21 hold r2 bob>ann 26 CNY asker=bob key=k3 operation=refund original=p1", "55 disputed or charged back of 100"},
		{"undone while it is disputed", "7 suspend ann>; 8 suspend bob>; 21 reversing p1 ann>bob 100 CNY", "cannot be undone"},
	} {
		_, _, err := Recompute(written(t, quarrels, tt.line))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

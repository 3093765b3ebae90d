package conformance

import (
	"maps"
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

// sponsored is a journal in which sue settles through ann.
const sponsored = `
1  open    window=1
2  cap     ann> 100 CNY
3  cap     sue> 60 CNY
4  cap     bob> 50 CNY
5  sponsor sue>ann
6  hold    p1 sue>bob 50 CNY asker=bob key=k1
7  hold    p2 ann>sue 20 CNY asker=bob key=k2
8  post    p1 sue>bob 50 CNY window=1 fees=switch:sue>hub:1:keep
9  post    p2 ann>sue 20 CNY window=1
10 hold    p3 sue>bob 5 CNY asker=bob key=k3
11 void    p3 sue>bob 5 CNY
12 close   window=1
13 instruct window=1 sheet=1/1-12/ann:51,bob:-50,hub:-1
14 short   ann> 51 CNY window=1 ref=i1
15 defer   p1 sue>bob 50 CNY window=1 auth_window=2
16 recast  window=1 sheet=1/1-12/ann:0
17 settled window=1 sheet=1/1-12/ann:0
18 close   window=2
19 instruct window=2 sheet=2/12-18/ann:51,bob:-50,hub:-1
20 settle  ann> 51 CNY window=2 ref=j1
21 settle  >bob 50 CNY window=2 ref=j2
22 settle  >hub 1 CNY window=2 ref=j3
23 settled window=2 sheet=2/12-18/ann:51,bob:-50,hub:-1
24 sponsor sue>
25 hold    p4 sue>bob 60 CNY asker=bob key=k4
`

func TestASubParticipantsJournalAddsUp(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(sponsored), "\n")
	at := func(entry int) (Sheets, Positions) {
		t.Helper()
		sheets, positions, err := Recompute(written(t, strings.Join(lines[:entry], "\n"), ""))
		if err != nil {
			t.Fatal(err)
		}
		return sheets, positions
	}
	sheets, positions := at(10)
	for who, want := range map[tongma.ParticipantID]Standing{"ann": {Position: 51, Reserved: 5, Cap: 100, Capped: true},
		"sue": {Cap: 60, Capped: true, Sponsor: "ann", MemoPosition: 31, MemoReserved: 5}, "bob": {Position: -50, Cap: 50, Capped: true}} {
		if got := positions[Account{who, tongma.CNY}]; got != want {
			t.Errorf("%s: %+v, want %+v", who, got, want)
		}
	}
	want := map[Pair]Cell{{"ann", "bob", tongma.CNY}: {50, 1}, {"ann", "ann", tongma.CNY}: {20, 1}, {"ann", "hub", tongma.CNY}: {1, 0}}
	if !maps.Equal(sheets[0].Matrix, want) {
		t.Errorf("%v, want %v", sheets[0].Matrix, want)
	}
	if _, positions = at(17); positions[Account{"sue", tongma.CNY}].MemoPosition != 51 {
		t.Errorf("its part of what is settled is gone: %+v", positions[Account{"sue", tongma.CNY}])
	}
	if _, positions = at(25); positions[Account{"sue", tongma.CNY}] != (Standing{Reserved: 60, Cap: 60, Capped: true}) {
		t.Errorf("by itself: %+v", positions[Account{"sue", tongma.CNY}])
	}
}

func TestASubParticipantsJournalThatDoesNotAddUpIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, line, says string }{
		{"past its own cap", "10 hold p3 sue>bob 30 CNY asker=bob key=k3", "sue is at 31, held 30"},
		{"past the sponsor's cap", "10 hold p3 ann>bob 50 CNY asker=bob key=k3", "ann is at 51, held 50"},
		{"past the sponsor's cap by its own", "2 cap ann> 69 CNY", "ann is at 0, held 70"},
		{"its sponsor is suspended", "9 suspend ann>", "sue is suspended"},
		{"sponsored by itself", "5 sponsor sue>sue", "or nobody"},
		{"sponsored twice", "10 sponsor sue>ann", "so already"},
		{"a sponsor has a sponsor", "10 sponsor ann>bob", "the sponsor of sue"},
		{"three levels", "10 sponsor zoe>sue", "settles through another itself"},
		{"let go while something is open", "10 sponsor sue>", "something open"},
		{"let go while it is in a window", "18 sponsor sue>", "something open"},
		{"it covers for its sponsor", "15 cover ann>sue 1 CNY window=1 ref=i2", "settles through another"},
		{"the sheet names it", "13 instruct window=1 sheet=1/1-12/ann:20,bob:-50,hub:-1,sue:31", "sheet hash"},
		{"a debtor without a cap", "5 sponsor zoe>ann; 6 hold p1 zoe>bob 5 CNY asker=bob key=k1", "no cap"},
	} {
		_, _, err := Recompute(written(t, sponsored, tt.line))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

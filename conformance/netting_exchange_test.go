package conformance

import (
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

// exchanges is a journal in which ann pays dollars, which fay exchanges, and bob gets
// yen; parts of it go back by a refund and by a dispute, and in the end all of it.
const exchanges = `
1  open window=1
2  open window=2 model=disputes
3  cap  ann> 10000 USD
4  cap  fay> 12000 JPY
5  cap  fay> 10000 USD
6  cap  bob> 20000 JPY
7  hold p1 ann>bob 6000 USD gets=9313JPY dealer=fay rate=USD/JPY_155.230_source quote=q1 asker=bob key=k1
8  post p1 ann>bob 6000 USD gets=9313JPY dealer=fay window=1 fees=scheme:ann>hub:50:return
9  hold r1 bob>ann 1000 JPY gets=644USD dealer=fay asker=bob key=k2 operation=refund original=p1
10 hold r2 bob>ann 8313 JPY gets=5356USD dealer=fay asker=bob key=k3 operation=refund original=p1
11 post r1 bob>ann 1000 JPY gets=644USD dealer=fay window=1 fees=scheme:hub>ann:5:return
12 void r2 bob>ann 8313 JPY gets=5356USD dealer=fay
13 dispute d1 ann>bob 8000 JPY gets=5154USD dealer=fay original=p1 asker=ann key=q1 model=disputes stage=raised
14 hold r3 bob>ann 313 JPY gets=202USD dealer=fay asker=bob key=k4 operation=refund original=p1
15 post r3 bob>ann 313 JPY gets=202USD dealer=fay window=1 fees=scheme:hub>ann:2:return
16 dispute-step d1 ann>bob 8000 JPY gets=5154USD dealer=fay original=p1 asker=bob model=disputes stage=accepted window=2
17 hold p2 ann>bob 6001 USD gets=9314JPY dealer=fay rate=JPY/USD_0.00644200_target quote=q2 asker=bob key=k5
18 post p2 ann>bob 6001 USD gets=9314JPY dealer=fay window=1
19 reversing p2 ann>bob 6001 USD gets=9314JPY dealer=fay
20 reversed p2 ann>bob 6001 USD gets=9314JPY dealer=fay window=1
`

func TestTwoCurrenciesWrittenByHandAddUp(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(exchanges), "\n")
	at := func(entry int) (Sheets, Positions) {
		t.Helper()
		sheets, positions, err := Recompute(written(t, strings.Join(lines[:entry], "\n"), ""))
		if err != nil {
			t.Fatal(err)
		}
		return sheets, positions
	}
	check := func(positions Positions, want map[Account]int64) {
		t.Helper()
		for a, minor := range want {
			if positions[a].Position != minor || positions[a].Reserved != 0 {
				t.Errorf("%s %s: %+v, want %d", a.Participant, a.Currency, positions[a], minor)
			}
		}
	}
	sheets, positions := at(8)
	check(positions, map[Account]int64{{"ann", tongma.USD}: 6050, {"fay", tongma.USD}: -6000, {"fay", tongma.JPY}: 9313, {"bob", tongma.JPY}: -9313, {"hub", tongma.USD}: -50})
	if w := sheets[0]; w.Payments != 2 || len(w.Matrix) != 3 {
		t.Errorf("%+v", w)
	}
	_, positions = at(20)
	check(positions, map[Account]int64{{"ann", tongma.USD}: 43, {"fay", tongma.USD}: 0, {"fay", tongma.JPY}: 0, {"bob", tongma.JPY}: 0, {"hub", tongma.USD}: -43})
}

func TestTwoCurrenciesThatDoNotAddUpAreRefused(t *testing.T) {
	const p1 = "7 hold p1 ann>bob 6000 USD "
	for _, tt := range []struct{ name, line, says string }{
		{"a yen too much", p1 + "gets=9314JPY dealer=fay rate=USD/JPY_155.230_source quote=q1 asker=bob key=k1", "come to 9313 JPY"},
		{"rounded up for the creditor", p1 + "gets=9314JPY dealer=fay rate=USD/JPY_155.233_source quote=q1 asker=bob key=k1", "come to 9313 JPY"},
		{"rounded down for the debtor", "17 hold p2 ann>bob 6000 USD gets=9314JPY dealer=fay rate=JPY/USD_0.00644200_target quote=q2 asker=bob key=k5", "cost 6001 USD"},
		{"a rate between others", p1 + "gets=9313JPY dealer=fay rate=EUR/JPY_155.230_source quote=q1 asker=bob key=k1", "no rate between"},
		{"no rate", p1 + "gets=9313JPY dealer=fay quote=q1 asker=bob key=k1", "no rate"},
		{"no fixed side", p1 + "gets=9313JPY dealer=fay rate=USD/JPY_155.230_both quote=q1 asker=bob key=k1", "no rate"},
		{"a rate of nothing", p1 + "gets=9313JPY dealer=fay rate=USD/JPY_0_source quote=q1 asker=bob key=k1", "no rate"},
		{"no quote", p1 + "gets=9313JPY dealer=fay rate=USD/JPY_155.230_source asker=bob key=k1", "no quote"},
		{"a quote twice", "17 hold p2 ann>bob 6001 USD gets=9314JPY dealer=fay rate=JPY/USD_0.00644200_target quote=q1 asker=bob key=k5", "used before"},
		{"nobody exchanges", p1 + "gets=9313JPY rate=USD/JPY_155.230_source quote=q1 asker=bob key=k1", "no second side"},
		{"for the same currency", p1 + "gets=6000USD dealer=fay rate=USD/USD_1_source quote=q1 asker=bob key=k1", "no second side"},
		{"past the dealer's cap", "4 cap fay> 9312 JPY", "fay is at 0, held 9313"},
		{"past the debtor's cap", "3 cap ann> 5999 USD", "ann is at 0, held 6000"},
		{"a dealer without a cap", "4 cap fay> 1 THB", "fay has no cap in JPY"},
		{"the dealer is suspended", "6 suspend fay>", "fay is suspended"},
		{"posted in part", "8 post p1 ann>bob 5999 USD gets=9313JPY dealer=fay window=1", "are posted of 6000"},
		{"posted on one side", "8 post p1 ann>bob 6000 USD window=1", "but the hold is of 9313 JPY"},
		{"posted by another", "8 post p1 ann>bob 6000 USD gets=9313JPY dealer=hub window=1", `by "hub"`},
		{"a refund in what was paid", "9 hold r1 ann>bob 644 USD asker=bob key=k2 operation=refund original=p1", "what was not paid"},
		{"a refund in the wrong currency", "9 hold r1 bob>ann 644 USD asker=bob key=k2 operation=refund original=p1", "a refund in USD"},
		{"a cent too much goes back", "9 hold r1 bob>ann 1000 JPY gets=645USD dealer=fay asker=bob key=k2 operation=refund original=p1", "due are 644 USD"},
		{"another dealer gives back", "9 hold r1 bob>ann 1000 JPY gets=644USD dealer=hub asker=bob key=k2 operation=refund original=p1", `by "fay"`},
		{"more goes back than came", "14 hold r3 bob>ann 314 JPY gets=202USD dealer=fay asker=bob key=k4 operation=refund original=p1", "of 9313"},
		{"a fee in proportion to the wrong side", "11 post r1 bob>ann 1000 JPY gets=644USD dealer=fay window=1 fees=scheme:hub>ann:8:return", "those that go back"},
		{"a dispute in what was paid", "13 dispute d1 ann>bob 5154 USD gets=8000JPY dealer=fay original=p1 asker=ann key=q1 model=disputes stage=raised", "another payment"},
		{"a dispute of a cent too much", "13 dispute d1 ann>bob 8000 JPY gets=5155USD dealer=fay original=p1 asker=ann key=q1 model=disputes stage=raised", "due are 5154 USD"},
		{"a chargeback of one side", "16 dispute-step d1 ann>bob 8000 JPY original=p1 asker=bob model=disputes stage=accepted window=2", "another dispute"},
	} {
		_, _, err := Recompute(written(t, exchanges, tt.line))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

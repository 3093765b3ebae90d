package optimise

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"pgregory.net/rapid"
)

// parse reads a queue as a regulator would write it: "A 10, B 0; A>B 5 urgent, …".
func parse(t testing.TB, text string) Queue {
	q := Queue{Currency: tongma.CNY}
	balances, items, _ := strings.Cut(text, ";")
	for _, part := range strings.Split(balances, ",") {
		if f := strings.Fields(part); len(f) == 2 {
			q.Balances = append(q.Balances, Balance{tongma.ParticipantID(f[0]), minor(t, f[1])})
		}
	}
	for _, part := range strings.Split(items, ",") {
		f := strings.Fields(part)
		if len(f) < 2 {
			continue
		}
		debtor, creditor, _ := strings.Cut(f[0], ">")
		it := Item{Debtor: tongma.ParticipantID(debtor), Creditor: tongma.ParticipantID(creditor), Minor: minor(t, f[1])}
		if len(f) > 2 {
			it.Priority = map[string]Priority{"normal": Normal, "high": High, "urgent": Urgent}[f[2]]
		}
		q.Items = append(q.Items, it)
	}
	return q
}

func minor(t testing.TB, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func show(r Result, err error) string {
	if err != nil {
		return err.Error()
	}
	s := fmt.Sprint(r.Settled, " ", r.Value, ";")
	for _, b := range r.Balances {
		s += fmt.Sprintf(" %s %d", b.Participant, b.Minor)
	}
	return s
}

func TestSmallQueuesSettleAsWorkedOutByHand(t *testing.T) {
	for _, row := range []struct{ name, queue, single, all, best string }{
		{"a circle without money is a gridlock, and settles together",
			"A 0, B 0, C 0; A>B 10, B>C 10, C>A 10",
			"[] 0; A 0 B 0 C 0", "[0 1 2] 30; A 0 B 0 C 0", "[0 1 2] 30; A 0 B 0 C 0"},
		{"a circle of unequal amounts needs the difference",
			"A 2, B 0, C 0; A>B 10, B>C 9, C>A 8",
			"[] 0; A 2 B 0 C 0", "[0 1 2] 27; A 0 B 1 C 1", "[0 1 2] 27; A 0 B 1 C 1"},
		{"one short payer loses its last item only",
			"A 5, B 0; A>B 10, B>A 8, A>B 4",
			"[] 0; A 5 B 0", "[] 0; A 5 B 0", "[0 1] 18; A 3 B 2"},
		{"a dropped item takes its receiver's last one with it",
			"A 0, B 0, C 0; A>B 5, B>C 5, C>B 1, B>C 1",
			"[] 0; A 0 B 0 C 0", "[] 0; A 0 B 0 C 0", "[] 0; A 0 B 0 C 0"},
		{"a gridlock inside a queue that cannot all settle",
			"A 0, B 0, C 0; A>B 5, B>A 5, A>C 1, C>A 100",
			"[] 0; A 0 B 0 C 0", "[] 0; A 0 B 0 C 0", "[0 1] 10; A 0 B 0 C 0"},
		{"money flows through a chain",
			"A 10, B 0, C 0; B>C 10, A>B 10, C>A 3",
			"[0 1 2] 23; A 3 B 0 C 7", "[0 1 2] 23; A 3 B 0 C 7", "[0 1 2] 23; A 3 B 0 C 7"},
		{"urgent goes before normal, whoever came first",
			"A 10; A>B 10, A>C 10 urgent",
			"[1] 10; A 0 B 0 C 10", "[] 0; A 10 B 0 C 0", "[1] 10; A 0 B 0 C 10"},
		{"high goes between, and within a priority the first that came",
			"A 30; A>B 10, A>B 11 high, A>B 12 urgent, A>B 7 high, A>B 1 urgent",
			"[1 2 4] 24; A 6 B 24", "[] 0; A 30 B 0", "[1 2 4] 24; A 6 B 24"},
		{"a large item is not passed by a small one of its payer",
			"A 5; A>B 10, A>B 1",
			"[] 0; A 5 B 0", "[] 0; A 5 B 0", "[] 0; A 5 B 0"},
		{"one payer's urgent item does not come before another's normal one",
			"A 10, B 0; A>C 10, B>C 1 urgent",
			"[0] 10; A 0 B 0 C 10", "[] 0; A 10 B 0 C 0", "[0] 10; A 0 B 0 C 10"},
		{"nothing waits", "A 7;", "[] 0; A 7", "[] 0; A 7", "[] 0; A 7"},
	} {
		q := parse(t, row.queue)
		if got := show(OneByOne(q)); got != row.single {
			t.Errorf("%s: one by one: got %s, want %s", row.name, got, row.single)
		}
		if got := show(AllOrNothing(q)); got != row.all {
			t.Errorf("%s: all or nothing: got %s, want %s", row.name, got, row.all)
		}
		if got := show(BechSoramaki(q)); got != row.best {
			t.Errorf("%s: Bech-Soramäki: got %s, want %s", row.name, got, row.best)
		}
	}
}

func TestAGridlockIsWhenOnlyASetCanSettle(t *testing.T) {
	for queue, want := range map[string]bool{
		"; A>B 10, B>C 10, C>A 10":     true,
		"A 10; A>B 10, B>C 10, C>A 10": false, // moves by itself
		"; A>B 10, B>C 9":              false, // is a deadlock: no set can settle
		"":                             false,
	} {
		if got, err := Gridlocked(parse(t, queue)); got != want || err != nil {
			t.Errorf("%q: got %v, %v", queue, got, err)
		}
	}
}

func TestOffsetSettlesPairsWithinBalancesAndLimits(t *testing.T) {
	queue := "A 3, B 0, C 100; A>B 10, B>A 8, A>B 5, A>C 1, C>A 2, B>A 4"
	none := func(_, _ tongma.ParticipantID) int64 { return 0 }
	one := func(debtor, creditor tongma.ParticipantID) int64 { return 1 }
	for _, row := range []struct {
		limit func(_, _ tongma.ParticipantID) int64
		want  string
	}{
		{nil, "[0 1 2 3 4 5] 30; A 1 B 3 C 99"}, // A pays B 3 more than it gets, then gets 1 more from C
		{none, "[] 0; A 3 B 0 C 100"},
		{one, "[3 4] 3; A 4 B 0 C 99"},
		{func(_, _ tongma.ParticipantID) int64 { return -5 }, "[] 0; A 3 B 0 C 100"},
	} {
		if got := show(Offset(parse(t, queue), row.limit)); got != row.want {
			t.Errorf("got %s, want %s", got, row.want)
		}
	}
	if got := show(Offset(parse(t, "A 100; A>B 10"), nil)); got != "[] 0; A 100 B 0" {
		t.Errorf("a payment that offsets nothing was settled: %s", got)
	}
	if got := show(Offset(parse(t, "; B>A 10, A>B 10"), none)); got != "[0 1] 20; A 0 B 0" {
		t.Errorf("equal items cost nobody anything: %s", got)
	}
}

func TestAQueueThatMakesNoSenseIsRefused(t *testing.T) {
	big := strconv.FormatInt(math.MaxInt64, 10)
	for queue, want := range map[string]tongma.Reason{
		"A -1;":                              tongma.FieldInvalid,
		"A 1, A 2;":                          tongma.FieldInvalid,
		"; A>A 1":                            tongma.FieldInvalid,
		"; A>B 0":                            tongma.FieldInvalid,
		"; A>B -5":                           tongma.FieldInvalid,
		"; >B 5":                             tongma.FieldInvalid,
		"A " + big + "; A>B 1":               tongma.PositionOverflow,
		"A " + big + ", B 1;":                tongma.PositionOverflow,
		"; A>B " + big + ", B>A 1, A>B 9999": tongma.PositionOverflow,
	} {
		for name, algorithm := range algorithms {
			if _, err := algorithm(parse(t, queue)); tongma.ReasonOf(err) != want {
				t.Errorf("%s %q: got %v, want %v", name, queue, err, want)
			}
		}
	}
	if _, err := BechSoramaki(Queue{}); tongma.ReasonOf(err) != tongma.CurrencyUnknown {
		t.Errorf("no currency: got %v", err)
	}
	if _, err := BechSoramaki(Queue{Currency: tongma.CNY, Items: []Item{{"a", "b", 1, 9}}}); tongma.ReasonOf(err) != tongma.FieldInvalid {
		t.Errorf("no such priority: got %v", err)
	}
}

var algorithms = map[string]func(Queue) (Result, error){
	"AllOrNothing": AllOrNothing,
	"BechSoramaki": BechSoramaki,
	"OneByOne":     OneByOne,
	"Offset":       func(q Queue) (Result, error) { return Offset(q, nil) },
}

func queues(maxItems, maxMinor int) *rapid.Generator[Queue] {
	return rapid.Custom(func(t *rapid.T) Queue {
		n := rapid.IntRange(2, 5).Draw(t, "participants")
		name := func(i int) tongma.ParticipantID { return tongma.ParticipantID(rune('a' + i)) }
		q := Queue{Currency: tongma.CNY}
		for i := range n {
			if rapid.IntRange(0, 3).Draw(t, "has") > 0 {
				q.Balances = append(q.Balances, Balance{name(i), int64(rapid.IntRange(0, maxMinor).Draw(t, "balance"))})
			}
		}
		for range rapid.IntRange(0, maxItems).Draw(t, "items") {
			from := rapid.IntRange(0, n-1).Draw(t, "from")
			to := (from + rapid.IntRange(1, n-1).Draw(t, "to")) % n
			q.Items = append(q.Items, Item{name(from), name(to), int64(rapid.IntRange(1, maxMinor).Draw(t, "minor")), Priority(rapid.IntRange(0, 2).Draw(t, "priority"))})
		}
		return q
	})
}

// after adds up balances by another way than the package does. ok is false if
// anybody ends below zero.
func after(q Queue, in func(i int) bool) (balances map[tongma.ParticipantID]int64, ok bool) {
	balances, ok = map[tongma.ParticipantID]int64{}, true
	for _, b := range q.Balances {
		balances[b.Participant] += b.Minor
	}
	for i, it := range q.Items {
		if in(i) {
			balances[it.Creditor] += it.Minor
			balances[it.Debtor] -= it.Minor
		} else {
			balances[it.Creditor] += 0
			balances[it.Debtor] += 0
		}
	}
	for _, b := range balances {
		ok = ok && b >= 0
	}
	return balances, ok
}

// closed tells whether no item settles while one of its payer that goes before
// it waits.
func closed(q Queue, in func(i int) bool) bool {
	for i, a := range q.Items {
		for j, b := range q.Items {
			before := a.Priority > b.Priority || a.Priority == b.Priority && i < j
			if a.Debtor == b.Debtor && before && in(j) && !in(i) {
				return false
			}
		}
	}
	return true
}

func TestBechSoramakiIsTheLargestOfAllSetsThatArePossible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queues(8, 12).Draw(t, "queue")
		r, err := BechSoramaki(q)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, i := range r.Settled {
			got |= 1 << i
		}
		possible := func(set int) bool {
			in := func(i int) bool { return set>>i&1 == 1 }
			_, ok := after(q, in)
			return ok && closed(q, in)
		}
		if !possible(got) {
			t.Fatalf("%v is not possible", r.Settled)
		}
		for set := range 1 << len(q.Items) {
			if set&^got != 0 && possible(set) {
				t.Fatalf("%b is possible and not within %b", set, got)
			}
		}
	})
}

func TestWhatSettlesKeepsEverybodyAtZeroOrMore(t *testing.T) {
	for name, algorithm := range algorithms {
		rapid.Check(t, func(t *rapid.T) {
			q := queues(60, 1000).Draw(t, "queue")
			r, err := algorithm(q)
			if err != nil {
				t.Fatal(err)
			}
			in := func(i int) bool { return slices.Contains(r.Settled, i) }
			want, ok := after(q, in)
			if !ok {
				t.Fatalf("%s leaves somebody below zero: %v", name, want)
			}
			if name != "Offset" && !closed(q, in) {
				t.Fatalf("%s lets an item pass another of its payer: %v", name, r.Settled)
			}
			value, total, had := int64(0), int64(0), int64(0)
			for _, i := range r.Settled {
				value += q.Items[i].Minor
			}
			for i, b := range r.Balances {
				total += b.Minor
				if want[b.Participant] != b.Minor || i > 0 && r.Balances[i-1].Participant >= b.Participant {
					t.Fatalf("%s: balances are %v, not %v", name, r.Balances, want)
				}
			}
			for _, b := range q.Balances {
				had += b.Minor
			}
			if total != had || len(r.Balances) != len(want) || value != r.Value || r.Count != len(r.Settled) || len(r.Settled)+len(r.Left) != len(q.Items) {
				t.Fatalf("%s: %d became %d: %+v", name, had, total, r)
			}
			if !slices.IsSorted(r.Settled) || !slices.IsSorted(r.Left) {
				t.Fatalf("%s: places are out of order", name)
			}
		})
	}
}

func TestBechSoramakiIsAFixedPointAndNeverLessThanTheOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queues(60, 1000).Draw(t, "queue")
		r, err := BechSoramaki(q)
		if err != nil {
			t.Fatal(err)
		}
		only := Queue{Currency: q.Currency, Balances: q.Balances}
		for _, i := range r.Settled {
			only.Items = append(only.Items, q.Items[i])
		}
		if again, err := BechSoramaki(only); err != nil || len(again.Left) > 0 {
			t.Fatalf("of what settles, %v does not: %v", again.Left, err)
		}
		rest := Queue{Currency: q.Currency, Balances: r.Balances}
		for _, i := range r.Left {
			rest.Items = append(rest.Items, q.Items[i])
		}
		if more, err := BechSoramaki(rest); err != nil || len(more.Settled) > 0 {
			t.Fatalf("of what waits, %v could settle too: %v", more.Settled, err)
		}
		for _, other := range []func(Queue) (Result, error){AllOrNothing, OneByOne} {
			o, err := other(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range o.Settled {
				if !slices.Contains(r.Settled, i) {
					t.Fatalf("item %d settles otherwise: %+v", i, o)
				}
			}
		}
	})
}

func TestTheSameQueueGivesTheSameResultWhoeverIsNamedFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queues(40, 1000).Draw(t, "queue")
		other := q
		other.Balances = slices.Clone(q.Balances)
		slices.Reverse(other.Balances)
		for name, algorithm := range algorithms {
			a, err1 := algorithm(q)
			b, err2 := algorithm(other)
			if err1 != nil || err2 != nil || !reflect.DeepEqual(a, b) {
				t.Fatalf("%s: %+v and %+v", name, a, b)
			}
		}
	})
}

func TestARecastSheetIsCoveredByWhatEachHad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queues(40, 1000).Draw(t, "queue")
		r, err := BechSoramaki(q)
		if err != nil {
			t.Fatal(err)
		}
		matrix, err := Matrix(q, r.Settled)
		if err != nil {
			t.Fatal(err)
		}
		nets, totals := clearing.Net(matrix)
		had := map[tongma.ParticipantID]int64{}
		for _, b := range q.Balances {
			had[b.Participant] = b.Minor
		}
		for _, n := range nets {
			if n.Net > had[n.Participant] {
				t.Fatalf("%s is to pay %d of %d", n.Participant, n.Net, had[n.Participant])
			}
		}
		if r.Count > 0 && (totals[0].Gross != r.Value || totals[0].Count != int64(r.Count)) {
			t.Fatalf("the sheet has %+v, the result %d of %d", totals[0], r.Value, r.Count)
		}
	})
	if _, err := Matrix(Queue{}, []int{0}); tongma.ReasonOf(err) != tongma.FieldInvalid {
		t.Errorf("an item that is not there: got %v", err)
	}
}

// traffic is items of amounts spread like payments: many small, few large.
func traffic(seed uint64, participants, items int) Queue {
	rng := rand.New(rand.NewPCG(seed, 7))
	q := Queue{Currency: tongma.CNY}
	name := func(i int) tongma.ParticipantID { return tongma.ParticipantID(fmt.Sprintf("p%02d", i)) }
	for range items {
		from := rng.IntN(participants)
		to := (from + 1 + rng.IntN(participants-1)) % participants
		q.Items = append(q.Items, Item{Debtor: name(from), Creditor: name(to), Minor: int64(100 * math.Exp(2+1.2*rng.NormFloat64()))})
	}
	return q
}

// cover gives each participant a share of what it would have to pay net.
func cover(q Queue, percent int64) Queue {
	places := make([]int, len(q.Items))
	for i := range places {
		places[i] = i
	}
	matrix, _ := Matrix(q, places)
	nets, _ := clearing.Net(matrix)
	q.Balances = nil
	for _, n := range nets {
		q.Balances = append(q.Balances, Balance{n.Participant, max(n.Net, 0) * percent / 100})
	}
	return q
}

// unwind is the classic way, as a foil: whoever is short is thrown out with all
// that it pays and receives, until nobody is.
func unwind(q Queue) int64 {
	out := map[tongma.ParticipantID]bool{}
	for {
		in := func(i int) bool { return !out[q.Items[i].Debtor] && !out[q.Items[i].Creditor] }
		balances, ok := after(q, in)
		if ok {
			value := int64(0)
			for i, it := range q.Items {
				if in(i) {
					value += it.Minor
				}
			}
			return value
		}
		for who, b := range balances {
			out[who] = out[who] || b < 0
		}
	}
}

// TestCoverSimulation prints how much of 2,000 items between 8 participants
// settles if payers hold a part of their net debit (go test -v).
func TestCoverSimulation(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 20
	}
	t.Logf("%6s %12s %12s %12s %14s   (share of value, seeds 1 to %d)", "cover", "unwind", "one by one", "offset", "Bech-Soramäki", seeds)
	for _, percent := range []int64{10, 50, 90, 100} {
		var gross, thrown, single, pairs, best float64
		for seed := uint64(1); seed <= seeds; seed++ {
			q := cover(traffic(seed, 8, 2000), percent)
			b, err := BechSoramaki(q)
			if err != nil {
				t.Fatal(err)
			}
			s, _ := OneByOne(q)
			o, _ := Offset(q, nil)
			if percent == 100 && b.Value != b.Gross {
				t.Fatalf("seed %d: all is covered, and %d of %d settles", seed, b.Value, b.Gross)
			}
			if s.Value > b.Value {
				t.Fatalf("seed %d: one by one settles more", seed)
			}
			gross, best, single, pairs = gross+float64(b.Gross), best+float64(b.Value), single+float64(s.Value), pairs+float64(o.Value)
			thrown += float64(unwind(q))
		}
		t.Logf("%5d%% %11.1f%% %11.1f%% %11.1f%% %13.1f%%", percent, 100*thrown/gross, 100*single/gross, 100*pairs/gross, 100*best/gross)
		if best/gross < 0.75 || percent < 100 && thrown/gross > 0.2 {
			t.Errorf("at %d%% cover Bech-Soramäki settles %.3f and the unwind %.3f of the value", percent, best/gross, thrown/gross)
		}
	}
}

func benchmark(b *testing.B, percent int64, algorithm func(Queue) (Result, error)) {
	q := cover(traffic(1, 50, 100_000), percent)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := algorithm(q); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/item")
}

func BenchmarkBechSoramaki50(b *testing.B) { benchmark(b, 50, BechSoramaki) }
func BenchmarkBechSoramaki0(b *testing.B)  { benchmark(b, 0, BechSoramaki) }
func BenchmarkAllOrNothing(b *testing.B)   { benchmark(b, 100, AllOrNothing) }
func BenchmarkOneByOne50(b *testing.B)     { benchmark(b, 50, OneByOne) }
func BenchmarkOffset50(b *testing.B)       { benchmark(b, 50, algorithms["Offset"]) }

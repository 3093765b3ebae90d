package clearing

import (
	"fmt"
	"slices"

	"github.com/tongma/tongma"
)

// always is a letter that is asked wherever there is a payment n; zero is anywhere.
func always(name string, n uint64, e Entry) letter {
	return letter{name, func(b *Book) (Entry, int64, bool) {
		if n == 0 {
			return e, b.Clock(), true
		}
		_, ok := b.Payment(testID(n))
		return e, b.Clock(), ok
	}}
}

// life of a hold that may expire, and the moment after it.
const holdMillis = 1000

// pays are the letters of one payment: asked for, asked for again as another,
// and all that may become of it.
func pays(e Entry, n uint64, part int64, legs ...Leg) []letter {
	e.Payment, e.Key = testID(n), testID(n).String()
	name := func(what string) string { return fmt.Sprintf("%s %d", what, n) }
	to := func(kind Kind) Entry { return Entry{Kind: kind, Payment: e.Payment} }
	full, some, void, other := to(KindPost), to(KindPost), to(KindVoid), e
	some.Amount, some.Legs = tongma.Money{Minor: part, Currency: e.Amount.Currency}, legs
	other.Amount.Minor++
	void.KeepCode = true
	out := []letter{
		{name("hold"), func(b *Book) (Entry, int64, bool) {
			held := e
			if e.Expiry != 0 {
				held.Expiry = b.Clock() + holdMillis
			}
			return held, b.Clock(), true
		}},
		always(name("hold otherwise"), n, other), always(name("pend"), n, to(KindPend)), always(name("post"), n, full), always(name("post part of"), n, some),
		always(name("void"), n, void), always(name("reversing"), n, to(KindReversing)), always(name("reversed"), n, to(KindReversed)),
	}
	if e.Expiry != 0 {
		out = append(out, always(name("expire early"), n, to(KindExpire)), letter{name("expire"), func(b *Book) (Entry, int64, bool) {
			p, ok := b.Payment(e.Payment)
			return to(KindExpire), max(b.Clock(), p.Expiry+1), ok
		}})
	}
	return out
}

// settles are the letters of so many windows, and of who may settle in them.
func settles(windows int, who []tongma.ParticipantID, cs ...tongma.Currency) []letter {
	out := []letter{{"close", func(b *Book) (Entry, int64, bool) {
		return Entry{Kind: KindClose}, b.Clock(), len(b.windows) <= windows
	}}}
	for w := range tongma.WindowID(windows) {
		w++
		there := func(e Entry) func(b *Book) (Entry, int64, bool) {
			return func(b *Book) (Entry, int64, bool) { return e, b.Clock(), b.window(w) != nil }
		}
		out = append(out, letter{fmt.Sprintf("instruct %d", w), there(Entry{Kind: KindInstruct, Window: w})},
			letter{fmt.Sprintf("settled %d", w), there(Entry{Kind: KindSettled, Window: w})})
		for _, p := range who {
			for _, c := range cs {
				out = append(out, legLetter(w, p, c, 0), legLetter(w, p, c, 1))
			}
		}
	}
	return out
}

// legLetter confirms a leg of a sheet, or one that is wrong by so much.
func legLetter(w tongma.WindowID, who tongma.ParticipantID, c tongma.Currency, wrongBy int64) letter {
	return letter{fmt.Sprintf("leg %d %s %s wrong by %d", w, who, c.Code(), wrongBy), func(b *Book) (Entry, int64, bool) {
		sheet, ok := b.Sheet(w)
		if !ok || sheet.State == WindowOpen {
			return Entry{}, 0, false
		}
		for _, in := range Instruct(sheet) {
			if in.Participant == who && in.Amount.Currency == c {
				in.Amount.Minor += wrongBy
				return in.Confirm(), b.Clock(), true
			}
		}
		return Entry{}, 0, false
	}}
}

func letters(lists ...[]letter) []letter { return slices.Concat(lists...) }

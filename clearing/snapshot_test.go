package clearing

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
	"pgregory.net/rapid"
)

// behind is a position behind so many entries, for tests without a stream.
func behind(b *Book) journal.Position {
	return journal.Position{Sequence: b.Next(), Epoch: 1, Writer: 7, Number: b.Next() - 1, Next: b.Next(), Hash: sha256.Sum256([]byte{byte(b.Next())})}
}

// restored is what a Book is after it was written and read back.
func restored(t testing.TB, b *Book) *Book {
	t.Helper()
	out, at, err := ParseSnapshot(b.AppendSnapshot(nil, behind(b)))
	if err != nil {
		t.Fatal(err)
	}
	if at != behind(b) {
		t.Fatalf("position %+v, want %+v", at, behind(b))
	}
	return out
}

// everything is a Book in which every field of everything that it keeps says
// something somewhere.
func everything(t testing.TB) *Book {
	k := newKeeper()
	k.book = replayed(t, life(t))
	k.now = k.book.Clock() + day
	step := func(e Entry) Entry { k.now++; return k.must(t, e) }
	for _, e := range hardship(t)[1:] {
		again := Entry{Kind: e.Kind, Late: e.Kind == KindPost, Time: 0, Payment: e.Payment, Original: e.Original, Op: e.Op, Asker: e.Asker, Key: e.Key, Debtor: e.Debtor,
			Creditor: e.Creditor, Amount: e.Amount, Window: e.Window, Expiry: e.Expiry, SchemeRef: e.SchemeRef, Model: e.Model, Method: e.Method,
			Cutoff: e.Cutoff, ValueDate: e.ValueDate, Calendar: e.Calendar}
		// The same things happen once more, with other ids, keys and windows.
		if !again.Payment.IsZero() {
			again.Payment[0] ^= 0x80
		}
		if !again.Original.IsZero() {
			again.Original[0] ^= 0x80
		}
		if again.Key != "" {
			again.Key += "-2"
		}
		again.Window = map[tongma.WindowID]tongma.WindowID{0: 0, 1: 2, 2: 3}[again.Window]
		switch e.Kind {
		case KindOpen:
			again.Window = 0
		case KindPost, KindReversed, KindClose:
			again.Window = 0
		}
		if e.Kind == KindSettle || e.Kind == KindShort || e.Kind == KindCover || e.Kind == KindDefer || e.Kind == KindRecast || e.Kind == KindSettled || e.Kind == KindInstruct ||
			e.Kind == KindCoverAsked || e.Kind == KindRetry || e.Kind == KindCoverRefused || e.Kind == KindWord || e.Kind == KindWordRejected {
			continue // figures differ
		}
		k.now++
		k.submit(t, again)
	}
	for _, s := range k.book.Sheets(0) {
		if s.State == WindowClosed && len(s.Legs) > 0 {
			step(Entry{Kind: KindInstruct, Window: s.Window})
		}
	}
	sheet, _ := k.book.Sheet(2)
	in := Instruct(sheet)[0]
	step(in.Refuse(tongma.FundsMissing))
	part := in.Confirm()
	part.Kind, part.Hash, part.SchemeRef = KindCover, [32]byte{}, "c-1"
	part.Creditor, part.Amount.Minor = "bank-c", 1
	step(part)
	part.Creditor, part.SchemeRef = in.Debtor, "c-2"
	step(part)
	part = in.Confirm()
	part.Amount.Minor, part.Hash = 1, [32]byte{}
	step(part)
	one := hold(70, "bank-c", "shop-b", 100)
	one.Code, one.CodeTail, one.Content, one.Scheme, one.Expiry = digestOf("c70"), "1234", digestOf("x"), "net", k.now+1_000_000
	step(one)
	step(Entry{Kind: KindPost, Payment: testID(70), Late: true, Reason: tongma.HoldExpired, SchemeRef: "ref-70", Approval: "A1B2C3", Amount: tongma.Money{Minor: 60, Currency: tongma.CNY},
		Legs: []Leg{fee(schemes.FeeScheme, schemes.FeeReturn, "shop-b", "net-s", 3)}})
	two := hold(71, "bank-c", "shop-b", 100)
	two.Code = digestOf("c71")
	step(two)
	k.now += day
	three := hold(72, "bank-c", "shop-b", 100)
	three.Code = digestOf("c72")
	step(three)
	step(hold(73, "shop-b", "bank-a", 10))
	step(Entry{Kind: KindPost, Payment: testID(73)})
	step(Entry{Kind: KindReversing, Payment: testID(73)})
	step(Entry{Kind: KindReversed, Payment: testID(73)})
	back := hold(74, "shop-b", "bank-c", 5)
	back.Op, back.Original = tongma.OpRefund, testID(70)
	step(back)
	step(Entry{Kind: KindPost, Payment: testID(74)})
	back = hold(75, "shop-b", "bank-c", 5)
	back.Op, back.Original = tongma.OpRefund, testID(70)
	step(back)
	quarrel := Entry{Kind: KindDispute, Payment: testID(80), Asker: "bank-c", Key: "d-80", Original: testID(70), Amount: tongma.Money{Minor: 20, Currency: tongma.CNY}, Expiry: k.now + 1_000, Model: "cards", SchemeRef: "4853"}
	step(quarrel)
	quarrel.Payment, quarrel.Key = testID(81), "d-81"
	step(quarrel)
	for _, to := range []Entry{{Stage: dispute.Represented, Asker: "shop-b"}, {Stage: dispute.PreArbitration, Asker: "bank-c"}, {Stage: dispute.Arbitration, Asker: "shop-b"}, {Stage: dispute.UpholdProposed, Maker: "ann"}, {Stage: dispute.Upheld, Checker: "bob"}} {
		to.Kind, to.Payment = KindDisputeStep, testID(81)
		step(to)
	}
	fx := func(who tongma.ParticipantID) Entry {
		e := capOf(who, 100_000)
		e.Amount.Currency = tongma.JPY
		return e
	}
	for _, e := range []Entry{fx("fx"), fx("shop-b"), capOf("fx", 100_000)} {
		k.submit(t, e)
	}
	abroad := hold(90, "bank-c", "shop-b", 600)
	abroad.Dealer, abroad.Target, abroad.Quote, abroad.Rate = "fx", tongma.Money{Minor: 9_315, Currency: tongma.JPY}, "q-1", "CNY/JPY 1552.5 source"
	step(abroad)
	step(Entry{Kind: KindPost, Payment: testID(90)})
	for n := range uint64(2) {
		back := hold(91+n, "shop-b", "bank-c", 100)
		back.Op, back.Original, back.Amount.Currency = tongma.OpRefund, testID(90), tongma.JPY
		step(back)
	}
	step(Entry{Kind: KindPost, Payment: testID(91)})
	quarrel = Entry{Kind: KindDispute, Asker: "bank-c", Original: testID(90), Amount: tongma.Money{Minor: 200, Currency: tongma.JPY}, Model: "cards"}
	for n := range uint64(2) {
		quarrel.Payment, quarrel.Key = testID(95+n), testID(95+n).String()
		step(quarrel)
	}
	step(Entry{Kind: KindDisputeStep, Payment: testID(95), Stage: dispute.Accepted, Asker: "shop-b"})
	last := k.book.Models()[0].Open
	step(Entry{Kind: KindClose})
	step(Entry{Kind: KindInstruct, Window: last})
	sheet, _ = k.book.Sheet(last)
	word := Instruct(sheet)[0].Confirm()
	word.Kind, word.Maker, word.Key = KindWord, "ann", "statement 7"
	step(word)
	chargeback, _ := k.book.Dispute(testID(81))
	step(Entry{Kind: KindClose, Model: "cards"})
	step(Entry{Kind: KindInstruct, Window: chargeback.Window})
	sheet, _ = k.book.Sheet(chargeback.Window)
	for _, in := range Instruct(sheet) {
		if in.Debtor == "shop-b" && in.Amount.Currency == tongma.CNY {
			step(in.Refuse(tongma.FundsMissing))
		}
	}
	step(Entry{Kind: KindDefer, Window: chargeback.Window, Payment: testID(81), SchemeRef: "CNY"})
	for n := range uint64(20) { // deferred, if it is in that window
		e := Entry{Kind: KindDefer, Window: 2, Payment: testID(n)}
		if k.book.Propose(&e, k.now).Write {
			step(e)
			break
		}
	}
	asHead(t, k)
	return k.book
}

// derived are the fields that a snapshot does not hold, since they follow from others.
var derived = map[string]bool{"numbers": true, "byID": true, "byKey": true, "sponsors": true, "toldAt": true, "disputeByID": true, "disputeByKey": true, "lately": true}

// TestASnapshotLeavesNothingOut: of a Book in which no field of any kind of thing is
// empty everywhere, nothing is lost. A field that is added and not written fails here:
// either since nothing in the sample uses it, or since it is gone behind the snapshot.
func TestASnapshotLeavesNothingOut(t *testing.T) {
	book := everything(t)
	said := map[string]bool{} // "type.field" that is not empty somewhere
	all := map[string]bool{}
	walk(reflect.ValueOf(book).Elem(), said, all)
	walk(reflect.ValueOf(follower(t).book).Elem(), said, all) // TestWhatAShardDoesIsAuditedReplayedAndKept
	for name := range all {
		if !said[name] {
			t.Errorf("%s is empty in the whole sample: extend it", name)
		}
	}
	for _, of := range []any{Book{}, payment{}, window{}, account{}, order{}, memo{}, windowMemo{}, flow{}, leg{}, told{}, debt{}, disputed{}, claims{}, cross{}, item{}, feeLeg{}, sponsorship{}, settlementModel{}, currencySum{}, sharding{}, home{}, way{}, carried{}, gathering{}} {
		typ := reflect.TypeOf(of)
		for i := range typ.NumField() {
			if name := typ.Name() + "." + typ.Field(i).Name; !all[name] && !derived[typ.Field(i).Name] {
				t.Errorf("%s was not looked at", name)
			}
		}
	}
	again := restored(t, book)
	if err := same(reflect.ValueOf(again).Elem(), reflect.ValueOf(book).Elem(), "Book"); err != "" {
		t.Error(err)
	}
	for i := range book.payments.len() {
		p := book.payments.at(uint32(i))
		if at, ok := again.find(p.id); !ok || int(at) != i {
			t.Errorf("payment %d is found by its id as %d, %t", i, at, ok)
		}
		if at, ok := again.findKey(p.key); !ok || int(at) != i {
			t.Errorf("payment %d is found by its key as %d, %t", i, at, ok)
		}
	}
	if !reflect.DeepEqual(again.disputeByID, book.disputeByID) || !reflect.DeepEqual(again.disputeByKey, book.disputeByKey) || !reflect.DeepEqual(again.numbers, book.numbers) || !reflect.DeepEqual(again.sponsors, book.sponsors) {
		t.Error("what is derived differs")
	}
	for i, w := range book.windows {
		if !reflect.DeepEqual(again.windows[i].toldAt, w.toldAt) {
			t.Errorf("%s: what is derived differs", w.id)
		}
	}
	sameBooks(t, again, book)
}

// walk notes which fields of structs there are, and which are not empty.
func walk(v reflect.Value, said, all map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), said, all)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if derived[f.Name] {
				continue
			}
			name := v.Type().Name() + "." + f.Name
			all[name] = true
			said[name] = said[name] || !v.Field(i).IsZero()
			walk(v.Field(i), said, all)
		}
	case reflect.Slice, reflect.Array:
		if k := v.Type().Elem().Kind(); k == reflect.Struct || k == reflect.Pointer || k == reflect.Slice {
			for i := range v.Len() {
				walk(v.Index(i), said, all)
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			walk(key, said, all)
			walk(v.MapIndex(key), said, all)
		}
	}
}

// same compares all but what is derived, and texts and sets by what they hold.
func same(x, y reflect.Value, at string) string {
	if x.Kind() == reflect.Pointer {
		if x.IsNil() || y.IsNil() {
			if x.IsNil() != y.IsNil() {
				return at + ": one is nil"
			}
			return ""
		}
		return same(x.Elem(), y.Elem(), at)
	}
	switch x.Type() {
	case reflect.TypeFor[texts](), reflect.TypeFor[textRef]():
		return "" // compared by sameBooks
	case reflect.TypeFor[digests]():
		if x.FieldByName("count").Int() != y.FieldByName("count").Int() {
			return at + ": differs in number"
		}
		return ""
	}
	switch x.Kind() {
	case reflect.Struct:
		for i := range x.NumField() {
			if name := x.Type().Field(i).Name; !derived[name] {
				if err := same(x.Field(i), y.Field(i), at+"."+name); err != "" {
					return err
				}
			}
		}
		return ""
	case reflect.Slice, reflect.Array:
		if x.Len() != y.Len() {
			return fmt.Sprintf("%s: %d and %d", at, x.Len(), y.Len())
		}
		for i := range x.Len() {
			if err := same(x.Index(i), y.Index(i), fmt.Sprintf("%s[%d]", at, i)); err != "" {
				return err
			}
		}
		return ""
	case reflect.Map:
		if x.Len() != y.Len() {
			return fmt.Sprintf("%s: %d and %d", at, x.Len(), y.Len())
		}
		for _, key := range x.MapKeys() {
			if !y.MapIndex(key).IsValid() {
				return fmt.Sprintf("%s: %v is missing", at, key)
			}
			if err := same(x.MapIndex(key), y.MapIndex(key), fmt.Sprintf("%s[%v]", at, key)); err != "" {
				return err
			}
		}
		return ""
	}
	if !x.Equal(y) {
		return fmt.Sprintf("%s: %v and %v", at, x, y)
	}
	return ""
}

// snapshotAndTail holds that a snapshot behind any entry, and the entries behind it,
// give the Book that all entries give, byte for byte.
func snapshotAndTail(t testing.TB, written []Entry, live *Book, cut int) {
	t.Helper()
	book := restored(t, replayed(t, written[:cut]))
	for i := cut; i < len(written); i++ {
		e, err := ParseEntry(written[i].AppendTo(nil))
		if err == nil {
			err = book.Apply(&e)
		}
		if err != nil {
			t.Fatalf("entry %d behind a snapshot at %d: %v", i+1, cut, err)
		}
	}
	want := live.AppendSnapshot(nil, behind(live))
	if got := book.AppendSnapshot(nil, behind(book)); !bytes.Equal(got, want) {
		t.Fatalf("a snapshot at %d and the tail give another Book", cut)
	}
	full := replayed(t, written)
	if got := full.AppendSnapshot(nil, behind(full)); !bytes.Equal(got, want) {
		t.Fatal("a replay gives another Book")
	}
}

func TestSnapshotAndTailAreAReplay(t *testing.T) {
	for _, written := range [][]Entry{life(t), hardship(t)} {
		live := replayed(t, written)
		for cut := range len(written) + 1 {
			snapshotAndTail(t, written, live, cut)
		}
	}
}

// TestADamagedSnapshotIsRefused: whichever byte is changed, and wherever it ends.
func TestADamagedSnapshotIsRefused(t *testing.T) {
	data := replayed(t, hardship(t)).AppendSnapshot(nil, journal.Position{Next: uint64(len(hardship(t)) + 1)})
	if _, _, err := ParseSnapshot(data); err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 0x11
		if _, _, err := ParseSnapshot(bad); err == nil {
			t.Fatalf("byte %d may be changed", i)
		}
	}
	for i := 0; i < len(data); i += 7 {
		if _, _, err := ParseSnapshot(data[:i]); err == nil {
			t.Fatalf("it may end at %d", i)
		}
	}
	if _, _, err := ParseSnapshot(append(bytes.Clone(data), 0)); err == nil {
		t.Error("it may go on")
	}
}

// reseal gives every block of a snapshot the sums that fit it.
func reseal(data []byte) []byte {
	var out []byte
	sums := sha256.New()
	for len(data) >= blockHeadSize {
		size := blockHeadSize + int(binary.BigEndian.Uint32(data[5:]))
		if size+sha256.Size > len(data) {
			return append(out, data...)
		}
		block := bytes.Clone(data[:size])
		if block[0] == blockEnd {
			block = append(block[:blockHeadSize], sums.Sum(nil)...)
			binary.BigEndian.PutUint32(block[5:], sha256.Size)
		}
		sum := sha256.Sum256(block)
		sums.Write(sum[:])
		out, data = append(append(out, block...), sum[:]...), data[size+sha256.Size:]
	}
	return out
}

// TestASnapshotOfAWrongProgramNeverPanics: bytes that mean something else, with sums
// that fit, are refused or give a Book that can be looked at.
func TestASnapshotOfAWrongProgramNeverPanics(t *testing.T) {
	data := everything(t)
	good := data.AppendSnapshot(nil, behind(data))
	if !bytes.Equal(reseal(good), good) {
		t.Fatal("resealing changes a good one")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 1_500 {
		bad := bytes.Clone(good)
		for range 1 + random.IntN(3) {
			bad[random.IntN(len(bad))] = byte(random.IntN(256))
		}
		b, at, err := ParseSnapshot(reseal(bad))
		if err != nil {
			continue
		}
		b.Positions()
		b.Models()
		b.OpenPayments()
		b.Recent(100, func(*Payment) bool { return true })
		for _, s := range b.Sheets(0) {
			b.WindowPayments(s.Window, func(WindowItem) bool { return true })
		}
		b.AppendSnapshot(nil, at)
	}
}

// TestANewerSnapshotIsToldApart: it may be good, but not here.
func TestANewerSnapshotIsToldApart(t *testing.T) {
	b := replayed(t, life(t))
	data := b.AppendSnapshot(nil, behind(b))
	data[blockHeadSize+1+len(snapshotTitle)]++
	if _, _, err := ParseSnapshot(reseal(data)); !errors.Is(err, ErrSnapshotFormat) {
		t.Errorf("got %v", err)
	}
}

// TestDigestsAreASet: against a map, through growing and taking out.
func TestDigestsAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, model := &digests{}, map[Digest]bool{}
		if rapid.Bool().Draw(t, "many tables") {
			s.expect(fewKeys + 1)
		}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			d := Digest{0: byte(rapid.IntRange(0, 1).Draw(t, "table")), 3: byte(rapid.SampledFrom([]int{0, 1, 2, 14, 15, 16, 31}).Draw(t, "place")), 9: byte(rapid.IntRange(1, 3).Draw(t, "other"))}
			if rapid.IntRange(0, 2).Draw(t, "out") == 0 {
				s.remove(d)
				delete(model, d)
			} else {
				s.put(d)
				model[d] = true
			}
			if s.has(d) != model[d] || s.count != len(model) {
				t.Fatalf("%x: %t of %d, want %t of %d", d, s.has(d), s.count, model[d], len(model))
			}
		}
		s.each(func(d Digest) {
			if !model[d] {
				t.Fatalf("%x is in it", d)
			}
			delete(model, d)
		})
		if len(model) > 0 {
			t.Fatalf("%v are missing", model)
		}
	})
}

// paidBook is a Book of so many paid payments, as a market has them: a reference of
// the scheme each, codes, several participants, 24 windows.
func paidBook(t testing.TB, payments int) *Book {
	b := NewBook()
	at := int64(startMillis)
	must := func(e Entry) {
		v := b.Propose(&e, at)
		if !v.Write || b.Apply(&e) != nil {
			t.Fatal(v)
		}
	}
	must(Entry{Kind: KindOpen})
	for p := range 8 {
		must(capOf(tongma.ParticipantID(fmt.Sprintf("bank-%d", p)), 1<<60))
	}
	var seed [16]byte
	for n := range payments {
		binary.BigEndian.PutUint64(seed[:], uint64(n))
		random := sha256.Sum256(seed[:])
		e := hold(uint64(n+1), tongma.ParticipantID(fmt.Sprintf("bank-%d", n%8)), tongma.ParticipantID(fmt.Sprintf("bank-%d", (n+1)%8)), int64(n%9_000+1))
		e.Payment, e.Key, e.Code, e.Content, e.CodeTail = tongma.PaymentID(random[:16]), fmt.Sprint(n), Digest(random[16:]), Digest(random[8:24]), "1234"
		e.Asker, e.Scheme, e.Expiry = e.Creditor, "net", at+30_000
		must(e)
		at += 3
		must(Entry{Kind: KindPost, Payment: e.Payment, SchemeRef: fmt.Sprintf("4200001%021d", n), Approval: "123456"})
		if (n+1)%(payments/24+1) == 0 {
			must(Entry{Kind: KindClose})
		}
	}
	return b
}

// TestRestoreIsQuick reports how long a snapshot of many payments takes, both ways;
// -run TestRestoreIsQuick -payments 10000000 for the figure of the plan.
func TestRestoreIsQuick(t *testing.T) {
	began := time.Now()
	b := paidBook(t, *snapshotPayments)
	made := time.Since(began)
	began = time.Now()
	data := b.AppendSnapshot(nil, behind(b))
	wrote := time.Since(began)
	began = time.Now()
	again, _, err := ParseSnapshot(data)
	if err != nil {
		t.Fatal(err)
	}
	read := time.Since(began)
	t.Logf("%d payments: made in %.2f s, written in %.2f s as %d bytes a payment, read in %.2f s", *snapshotPayments, made.Seconds(), wrote.Seconds(), len(data) / *snapshotPayments, read.Seconds())
	if i, ok := again.find(b.payments.at(uint32(b.payments.len() / 2)).id); !ok || int(i) != b.payments.len()/2 {
		t.Error("a payment is not found")
	}
	if !slices.Equal(again.Positions(), b.Positions()) {
		t.Error("positions differ")
	}
}

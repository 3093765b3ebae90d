package clearing

import (
	"slices"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/schemes/calendar"
)

// hardship is a journal in which a debtor cannot pay: two settlement models, a
// debtor that is short, covers of both kinds, and a sheet that is drawn up anew.
func hardship(t testing.TB) []Entry {
	k := newKeeper()
	step := func(e Entry) {
		k.now += 7
		k.must(t, e)
	}
	posted := func(e Entry) {
		step(e)
		step(Entry{Kind: KindPost, Payment: e.Payment})
	}
	cards := func(e Entry) Entry { e.Model = "cards"; return e }
	step(Entry{Kind: KindOpen})
	step(Entry{Kind: KindOpen, Model: "cards", Method: calendar.Bilateral})
	step(capOf("bank-a", 10_000))
	step(capOf("bank-c", 5_000))
	step(capOf("shop-b", 1_000))
	in := capOf("bank-a", 100)
	in.Kind, in.Key = KindDeposit, "in"
	step(in)
	posted(hold(1, "bank-a", "shop-b", 3_000))
	posted(hold(2, "bank-a", "bank-c", 500))
	posted(hold(3, "bank-c", "shop-b", 900))
	posted(cards(hold(4, "bank-a", "shop-b", 400)))
	back := hold(5, "shop-b", "bank-a", 100)
	back.Op, back.Original, back.Asker = tongma.OpRefund, testID(4), "shop-b"
	posted(back)
	step(Entry{Kind: KindClose, ValueDate: 20261123, Cutoff: startMillis, Calendar: "cny.1"})
	step(Entry{Kind: KindInstruct, Window: 1})
	told := func(kind Kind, who, payer tongma.ParticipantID, minor int64, id string) Entry {
		return Entry{Kind: kind, Window: 1, Debtor: who, Creditor: payer, Amount: tongma.Money{Minor: minor, Currency: tongma.CNY}, SchemeRef: id}
	}
	step(told(KindShort, "bank-a", "", 3_500, "i-1"))
	step(told(KindCover, "bank-a", "bank-a", 100, "c-1"))
	step(told(KindRetry, "bank-a", "", 3_400, "i-1b"))
	step(told(KindShort, "bank-a", "", 3_400, "i-1b"))
	step(told(KindCoverAsked, "bank-a", "bank-c", 1_000, "c-2"))
	step(told(KindCover, "bank-a", "bank-c", 1_000, "c-2"))
	step(told(KindCoverAsked, "bank-a", "bank-c", 500, "c-3"))
	step(told(KindCoverRefused, "bank-a", "bank-c", 500, "c-3"))
	step(Entry{Kind: KindDefer, Window: 1, Payment: testID(2)})
	step(Entry{Kind: KindRecast, Window: 1})
	word := told(KindWord, "bank-a", "", 1_900, "i-2")
	word.Maker, word.Key = "ann", "statement 1"
	step(word)
	step(Entry{Kind: KindWordRejected, Window: 1, SchemeRef: "i-2", Checker: "ann"})
	step(word)
	word.Kind, word.Maker, word.Checker = KindSettle, "", "ben"
	step(word)
	sheet, _ := k.book.Sheet(1)
	for _, in := range Instruct(sheet) {
		step(in.Confirm())
	}
	step(Entry{Kind: KindSettled, Window: 1})
	step(Entry{Kind: KindClose, Model: "cards"})
	step(Entry{Kind: KindInstruct, Window: 2})
	sheet, _ = k.book.Sheet(2)
	for _, in := range Instruct(sheet) {
		step(in.Confirm())
	}
	step(Entry{Kind: KindSettled, Window: 2})
	quarrel := func(n uint64, minor int64) Entry {
		return Entry{Kind: KindDispute, Payment: testID(n), Asker: "bank-a", Key: testID(n).String(), Original: testID(1), Amount: tongma.Money{Minor: minor, Currency: tongma.CNY}, Expiry: k.now + 500, Model: "cards"}
	}
	turn := func(n uint64, stage dispute.Stage, who tongma.ParticipantID, maker, checker string) {
		step(Entry{Kind: KindDisputeStep, Payment: testID(n), Stage: stage, Asker: who, Maker: maker, Checker: checker})
	}
	step(quarrel(20, 1_000))
	step(quarrel(21, 1_500))
	turn(20, dispute.Accepted, "shop-b", "", "")
	turn(21, dispute.Represented, "shop-b", "", "")
	turn(21, dispute.PreArbitration, "bank-a", "", "")
	turn(21, dispute.Arbitration, "shop-b", "", "")
	turn(21, dispute.UpholdProposed, "", "ann", "")
	turn(21, dispute.Upheld, "", "", "bob")
	yen := func(who tongma.ParticipantID) Entry {
		e := capOf(who, 100_000)
		e.Amount.Currency = tongma.JPY
		return e
	}
	step(yen("fx"))
	step(yen("shop-b"))
	step(capOf("fx", 10_000))
	step(Entry{Kind: KindResume, Debtor: "bank-a", Maker: "ann"})
	abroad := hold(30, "bank-a", "shop-b", 600)
	abroad.Dealer, abroad.Target, abroad.Quote, abroad.Rate = "fx", tongma.Money{Minor: 9_315, Currency: tongma.JPY}, "q-1", "CNY/JPY 1552.5 source"
	posted(abroad)
	abroad = hold(31, "bank-a", "shop-b", 0)
	abroad.Amount.Minor, abroad.Dealer, abroad.Target, abroad.Quote, abroad.Rate = 65, "fx", tongma.Money{Minor: 1_000, Currency: tongma.JPY}, "q-2", "JPY/CNY 0.000644 target"
	posted(abroad)
	part := hold(32, "shop-b", "bank-a", 0)
	part.Op, part.Original, part.Amount, part.Asker = tongma.OpRefund, testID(30), tongma.Money{Minor: 5_000, Currency: tongma.JPY}, "shop-b"
	posted(part)
	over := quarrel(33, 4_000)
	over.Original, over.Amount.Currency = testID(30), tongma.JPY
	step(over)
	turn(33, dispute.Accepted, "shop-b", "", "")
	step(capOf("sub", 100))
	step(Entry{Kind: KindSponsor, Debtor: "sub", Creditor: "bank-c"})
	step(hold(6, "sub", "bank-a", 60))
	step(hold(7, "sub", "bank-a", 30))
	step(Entry{Kind: KindPost, Payment: testID(6)})
	sameBooks(t, replayed(t, k.written), k.book)
	sameAsAudit(t, audited(k.written), k.book)
	return k.written
}

var hardDamages = []damage{
	{"a target does not follow from the rate", checkExchange, edit(KindHold, 30, func(e *Entry) { e.Target.Minor++ })},
	{"a source does not follow from the rate", checkExchange, edit(KindHold, 31, func(e *Entry) { e.Amount.Minor-- })},
	{"a rate is of other currencies", checkExchange, edit(KindHold, 30, func(e *Entry) { e.Rate = "USD/JPY 1552.5 source" })},
	{"a quote is used twice", checkExchange, edit(KindHold, 31, func(e *Entry) { e.Quote = "q-1" })},
	{"a rate without a dealer", checkExchange, edit(KindHold, 30, func(e *Entry) { e.Dealer = "" })},
	{"one side is posted in part", checkExchange, edit(KindPost, 30, func(e *Entry) { e.Amount.Minor-- })},
	{"a dealer's cap is passed", checkCap, func(es []Entry, _ func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		i, e := of(KindHold, 30), capOf("fx", 9_314)
		e.Amount.Currency = tongma.JPY
		return renumber(slices.Insert(es, i, e)), i + 2
	}},
	{"the dealer gives back less", checkExchange, edit(KindHold, 32, func(e *Entry) { e.Target.Minor-- })},
	{"the dealer keeps all", checkExchange, edit(KindHold, 32, func(e *Entry) { e.Dealer, e.Target = "", tongma.Money{} })},
	{"a posting names another target", checkSame, edit(KindPost, 30, func(e *Entry) { e.Target.Minor++ })},
	{"a chargeback gives back less", checkExchange, edit(KindDispute, 33, func(e *Entry) { e.Target.Minor-- })},
	{"disputed by the payee", checkDispute, edit(KindDispute, 20, func(e *Entry) { e.Asker = "shop-b" })},
	{"more is disputed than was paid", checkDispute, edit(KindDispute, 21, func(e *Entry) { e.Amount.Minor = 2_001 })},
	{"disputed was nothing", checkDispute, edit(KindDispute, 20, func(e *Entry) { e.Original = testID(77) })},
	{"a dispute's key was used", checkKey, edit(KindDispute, 21, func(e *Entry) { e.Key = testID(20).String() })},
	{"the raiser accepts", checkDispute, edit(KindDisputeStep, 20, func(e *Entry) { e.Asker = "bank-a" })},
	{"a clock is too early", checkDispute, edit(KindDisputeStep, 20, func(e *Entry) { e.Asker, e.Stage = "", dispute.DeemedAccepted })},
	{"a step is left out", checkDispute, edit(KindDisputeStep, 21, func(e *Entry) { e.Stage = dispute.PreArbitration })},
	{"charged back in another window", checkWindow, edit(KindDisputeStep, 20, func(e *Entry) { e.Window = 3 })},
	{"another amount is charged back", checkSame, edit(KindDisputeStep, 20, func(e *Entry) { e.Amount.Minor++ })},
	{"one person rules", checkDispute, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindDisputeStep, 6)
		es[i].Checker = "Ann "
		return es, i + 1
	}},
	{"charged back twice", checkDispute, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindDisputeStep, 1)
		return renumber(slices.Insert(es, i+1, es[i])), i + 2
	}},
	{"a sub-participant's sponsor changes while something is open", checkSponsor, func(es []Entry, _ func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		i := of(KindPost, 6)
		return renumber(slices.Insert(es, i+1, Entry{Kind: KindSponsor, Debtor: "sub"})), i + 2
	}},
	{"a sponsor has a sponsor", checkSponsor, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindSponsor, 1)
		return renumber(slices.Insert(es, i+1, Entry{Kind: KindSponsor, Debtor: "other", Creditor: "sub"})), i + 2
	}},
	{"a sub-participant passes its cap", checkCap, edit(KindHold, 7, func(e *Entry) { e.Amount.Minor = 41 })},
	{"a sponsor's cap is passed", checkCap, func(es []Entry, _ func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		i := of(KindHold, 7)
		return renumber(slices.Insert(es, i, capOf("bank-c", -5_000))), i + 2
	}},
	{"a model opens twice", checkWindows, edit(KindInstruct, 0, func(e *Entry) { e.Kind, e.Window, e.Model = KindOpen, 4, "cards" })},
	{"a window of another model closes", checkWindows, edit(KindClose, 0, func(e *Entry) { e.Window = 2 })},
	{"asked for in the window of another model", checkAuth, edit(KindHold, 4, func(e *Entry) { e.AuthWindow = 1 })},
	{"posted into the window of another model", checkWindow, edit(KindPost, 4, func(e *Entry) { e.Window = 1 })},
	{"a refund is settled by another model", checkModels, edit(KindHold, 5, func(e *Entry) { e.Model, e.AuthWindow = "", 1 })},
	{"an unknown method", checkModels, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindOpen, 2)
		es[i].Method = 9
		return es, i + 1
	}},
	{"the value date is another", checkSheet, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		es[at(KindClose, 1)].ValueDate++
		return es, at(KindInstruct, 1) + 1
	}},
	{"short of more than is due", checkShort, edit(KindShort, 0, func(e *Entry) { e.Amount.Minor++ })},
	{"who is owed is short", checkShort, edit(KindShort, 0, func(e *Entry) { e.Debtor = "shop-b" })},
	{"a short debtor pays on", checkSuspended, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i, e := at(KindShort, 1), hold(90, "bank-a", "shop-b", 1)
		e.AuthWindow = 3
		return renumber(slices.Insert(es, i+1, e)), i + 2
	}},
	{"covered before it was short", checkCover, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindShort, 1)
		es[i], es[i+1] = es[i+1], es[i]
		return renumber(es), i + 1
	}},
	{"covered by more than is due", checkCover, edit(KindCover, 0, func(e *Entry) { e.Amount.Minor, e.Creditor = 3_501, "bank-c" })},
	{"covered by prefunding that is not there", checkCover, edit(KindCover, 0, func(e *Entry) { e.Amount.Minor++ })},
	{"covered by nobody", checkCover, edit(KindCover, 0, func(e *Entry) { e.Creditor = "" })},
	{"a cover counts twice", checkLegs, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindCover, 2)
		return renumber(slices.Insert(es, i+1, es[i])), i + 2
	}},
	{"asked for more than is due", checkCover, edit(KindCoverAsked, 0, func(e *Entry) { e.Amount.Minor = 3_401 })},
	{"a cover is more than was asked for", checkCover, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindCover, 2)
		es[i].Amount.Minor++
		return es, i + 1
	}},
	{"refused was another cover", checkCover, edit(KindCoverRefused, 0, func(e *Entry) { e.Amount.Minor++ })},
	{"deferred while a cover is awaited", checkRecast, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindCoverRefused, 1)
		return renumber(slices.Delete(es, i, i+1)), i + 1
	}},
	{"tried again for less than is due", checkRetry, edit(KindRetry, 0, func(e *Entry) { e.Amount.Minor-- })},
	{"who is not short is asked again", checkRetry, edit(KindRetry, 0, func(e *Entry) { e.Debtor = "shop-b" })},
	{"tried again under the refused id", checkRetry, edit(KindRetry, 0, func(e *Entry) { e.SchemeRef = "i-1" })},
	{"another pays while a debit that was tried again may come", checkRetry, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindRetry, 1)
		e := es[i]
		e.Kind, e.Creditor, e.Amount.Minor, e.SchemeRef = KindCoverAsked, "bank-c", 1, "c-9"
		return renumber(slices.Insert(es, i+1, e)), i + 2
	}},
	{"tried again while a cover may come", checkRetry, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i, e := at(KindCoverRefused, 1), es[at(KindRetry, 1)]
		e.Amount.Minor, e.SchemeRef = 2_400, "i-9"
		return renumber(slices.Insert(es, i, e)), i + 1
	}},
	{"deferred while a debit that was tried again may come", checkRecast, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i, e := at(KindDefer, 1), es[at(KindRetry, 1)]
		e.Amount.Minor, e.SchemeRef = 2_400, "i-9"
		return renumber(slices.Insert(es, i, e)), i + 2
	}},
	{"one person alone says that it was settled", checkHand, edit(KindSettle, 0, func(e *Entry) { e.Checker = "Ann" })},
	{"the second person says another amount", checkHand, edit(KindSettle, 0, func(e *Entry) { e.Amount.Minor-- })},
	{"the second person has other evidence", checkHand, edit(KindSettle, 0, func(e *Entry) { e.Key = "statement 2" })},
	{"nobody said it first", checkHand, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindWord, 2)
		return renumber(slices.Delete(es, i, i+1)), i + 1
	}},
	{"the first person said that it was refused", checkHand, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		es[at(KindWord, 2)].Reason = tongma.AgentRejected
		return es, at(KindSettle, 1) + 1
	}},
	{"somebody says something without evidence", checkHand, edit(KindWord, 0, func(e *Entry) { e.Key = "" })},
	{"what nobody said is taken back", checkHand, edit(KindWordRejected, 0, func(e *Entry) { e.SchemeRef = "i-9" })},
	{"deferred though nobody is short", checkRecast, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindDefer, 1)
		j := at(KindShort, 1)
		e := es[i]
		return renumber(slices.Insert(slices.Delete(es, i, i+1), j, e)), j + 1
	}},
	{"deferred out of another window", checkRecast, edit(KindDefer, 0, func(e *Entry) { e.Payment = testID(4) })},
	{"deferred into another window", checkRecast, edit(KindDefer, 0, func(e *Entry) { e.AuthWindow = 2 })},
	{"another amount is deferred", checkSame, edit(KindDefer, 0, func(e *Entry) { e.Amount.Minor++ })},
	{"settled while it is recast", checkRecast, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindRecast, 1)
		es[i], es[i+1] = es[i+1], es[i]
		return renumber(es), i + 1
	}},
	{"recast for nothing", checkRecast, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindRecast, 1)
		return renumber(slices.Insert(es, i+1, es[i])), i + 2
	}},
	{"another sheet is drawn up", checkSheet, edit(KindRecast, 0, func(e *Entry) { e.Hash[0] ^= 1 })},
	{"a part counts twice", checkLegs, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindSettle, 1)
		e := es[i]
		e.Amount.Minor = 100
		es[i].Amount.Minor = 100
		return renumber(slices.Insert(es, i+1, e)), i + 2
	}},
	{"a pair pays the agent", checkLegs, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindSettled, 2) - 1
		es[i].Creditor = ""
		return es, i + 1
	}},
}

package schemes

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	tongma "github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/paycode"
	"pgregory.net/rapid"
)

// Codes that the tests scan. Payers' codes are made up or long spent.
const (
	wechatCode   = "134621141753364349"
	alipayCode   = "28763443825664394"
	alipayEither = "281012345678901234"
	unionpayCode = "6212345678901234567"
	khqrCode     = "00020101021129120008test@dev5204599953031165802KH5913Test Merchant6010Phnom Penh63048C7E"
	promptpay    = "00020101021129370016A000000677010111011300660000000005802TH530376463048956"
	wechatLink   = "weixin://wxpay/bizpayurl?pr=abcdefg12"
	productCode  = "https://id.gs1.org/01/09506000134352"
	userAuth     = "https://qr.95516.com/qrcGtwWeb-web/api/userAuth?version=1.0.0"
)

func tongbaoCode(t testing.TB, issuer string) string {
	t.Helper()
	c, err := paycode.MakeUnified(issuer, "123456789012")
	if err != nil {
		t.Fatal(err)
	}
	return c.Digits
}

func richCode(t testing.TB, issuer string) string {
	t.Helper()
	c, err := codespec.UnifiedCPM(issuer, "123456789012", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Encode()
}

// merchantCode writes an EMVCo merchant code of the given accounts and terms.
func merchantCode(accounts, currency, country string) string {
	s := "000201010211" + accounts + object("52", "5999")
	if currency != "" {
		s += object("53", currency)
	}
	if country != "" {
		s += object("58", country)
	}
	s += object("59", "SHOP") + object("60", "TOWN") + "6304"
	return s + strings.ToUpper(hex4(emv.CRC(s)))
}

func object(id, value string) string {
	n := strconv.Itoa(len(value))
	return id + "00"[:2-len(n)] + n + value
}

func hex4(v uint16) string {
	s := strconv.FormatUint(uint64(v), 16)
	return "0000"[:4-len(s)] + s
}

func unifiedAccount(id, acquirer string) string {
	return object(id, object("00", "tongma")+object("01", acquirer)+object("02", "SHOP1"))
}

// sandboxed returns version 1: the sandbox with pieces of its text exchanged, in
// pairs of old and new. Each old piece must be there.
func sandboxed(t testing.TB, pairs ...string) *Directory {
	t.Helper()
	d, err := Parse(1, edited(t, pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func edited(t testing.TB, pairs ...string) []byte {
	t.Helper()
	text := string(Sandbox())
	for i := 0; i+1 < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the sandbox does not hold %q", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return []byte(text)
}

func decoded(t testing.TB, d *Directory, raw string) codespec.Code {
	t.Helper()
	c, err := d.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pay(asker tongma.ParticipantID, minor int64, c tongma.Currency) Query {
	return Query{Asker: asker, Op: tongma.OpPay, Amount: tongma.Money{Minor: minor, Currency: c}}
}

func transfer(asker tongma.ParticipantID, minor int64, c tongma.Currency) Query {
	return Query{Asker: asker, Op: tongma.OpTransfer, Amount: tongma.Money{Minor: minor, Currency: c}}
}

func in(country string, q Query) Query {
	q.Country = country
	return q
}

// suspend edits the sandbox so that a participant is suspended.
func suspend(id string) []string {
	return []string{"  - id: " + id + "\n", "  - id: " + id + "\n    suspended: true\n"}
}

func TestRefusals(t *testing.T) {
	khr, _ := tongma.CurrencyByCode("KHR")
	for _, c := range []struct {
		name string
		code string
		q    Query
		edit []string
		want tongma.Reason
		why  string
	}{
		{"operation", wechatCode, Query{Asker: "acq-north", Op: tongma.OpRefund}, nil, tongma.OperationUnknown, "pay, transfer or resolve"},
		{"unified template without a shop", merchantCode(object("26", object("00", "tongma")+object("01", "2001")), "156", "CN"), transfer("tongbao", 100, tongma.CNY), nil, tongma.CodeMalformed, "breaks its form"},
		{"amount in the code over the limit", merchantCode(object("54", "10000.01")+object("29", object("00", "test@dev")), "840", "KH"), Query{Asker: "tongbao", Op: tongma.OpResolve}, nil, tongma.OverSchemeLimit, "at most 10000.00 USD"},
		{"stranger", wechatCode, pay("nobody", 100, tongma.CNY), nil, tongma.ParticipantUnknown, "asker"},
		{"wallet takes a payer's code", wechatCode, pay("w", 100, tongma.CNY), []string{"id: tongbao\n    name: Tongbao Wallet\n    country: CN\n    roles: [acquirer, issuer]", "id: w\n    name: W\n    country: CN\n    roles: [issuer]", "participant: tongbao", "participant: w", "switch_party: tongbao", "switch_party: w"}, tongma.NotPermittedHere, "acquirer"},
		{"acquirer reads a merchant's code", khqrCode, transfer("acq-north", 100, khr), nil, tongma.NotPermittedHere, "issuer"},
		{"suspended wallet", khqrCode, transfer("tongbao", 100, khr), suspend("tongbao"), tongma.ParticipantSuspended, "asker"},
		{"product code", productCode, pay("acq-north", 100, tongma.CNY), nil, tongma.CodeNotPayable, "not a payment code"},
		{"log-in code", userAuth, transfer("tongbao", 100, tongma.CNY), nil, tongma.CodeNotPayable, "not a payment code"},
		{"merchant's code at a till", khqrCode, pay("acq-north", 100, khr), nil, tongma.CodeWrongSide, "takes a payer's"},
		{"payer's code in a wallet", wechatCode, transfer("tongbao", 100, tongma.CNY), nil, tongma.CodeWrongSide, "takes a merchant's"},
		{"currency of the code is none", merchantCode(unifiedAccount("26", "2001"), "999", "CN"), transfer("tongbao", 0, 0), nil, tongma.CurrencyUnknown, "tag 53"},
		{"currencies differ", promptpay, transfer("tongbao", 100, tongma.CNY), nil, tongma.CurrencyMismatch, "code is in THB, the amount in CNY"},
		{"no such scheme", "0112345678901234567", pay("acq-north", 100, tongma.CNY), nil, tongma.IssuerUnknown, "no scheme that reads codes of ecny"},
		{"no such issuer", tongbaoCode(t, "4321"), pay("acq-north", 100, tongma.CNY), nil, tongma.IssuerUnknown, "no issuer of the number"},
		{"no such acquirer", merchantCode(unifiedAccount("26", "4321"), "156", "CN"), transfer("tongbao", 100, tongma.CNY), nil, tongma.ParticipantUnknown, "no acquirer of the number"},
		{"acquirer's code as a payer's", tongbaoCode(t, "2001"), pay("acq-harbour", 100, tongma.CNY), nil, tongma.OperationUnknown, "north has no payers"},
		{"not accepted", khqrCode, transfer("acq-harbour", 100, khr), nil, tongma.SchemeNotAccepted, "acq-harbour does not accept khqr"},
		{"not in this country", wechatCode, in("FR", pay("acq-north", 100, tongma.CNY)), nil, tongma.CountryMismatch, "wechat pays in CN, HK, JP, KH, TH, not in FR"},
		{"country of the code", merchantCode(object("29", object("00", "test@dev")), "840", "TH"), transfer("tongbao", 100, tongma.USD), nil, tongma.CountryMismatch, "khqr pays in KH, not in TH"},
		{"not in this currency", wechatCode, pay("acq-north", 100, tongma.KWD), nil, tongma.CurrencyNotServed, "not in KWD"},
		{"over the limit", wechatCode, pay("acq-north", 50_000_01, tongma.CNY), nil, tongma.OverSchemeLimit, "at most 50000.00 CNY"},
		{"over the limit, no decimals", wechatCode, pay("acq-north", 1_000_001, tongma.JPY), nil, tongma.OverSchemeLimit, "at most 1000000 JPY"},
		{"over the limit, three decimals", tongbaoCode(t, "1001"), pay("acq-north", 800_001, tongma.KWD), nil, tongma.OverSchemeLimit, "at most 800.000 KWD"},
		{"suspended issuer", wechatCode, pay("acq-north", 100, tongma.CNY), suspend("wechatpay"), tongma.ParticipantSuspended, "wechatpay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := sandboxed(t, c.edit...)
			code := decoded(t, d, c.code)
			r := d.Resolve(code, c.q)
			if r.Refusal != c.want || len(r.Candidates) != 0 || !strings.Contains(r.Detail, c.why) {
				t.Errorf("refused for %v (%s) with %d candidates; want %v (…%s…)", r.Refusal, r.Detail, len(r.Candidates), c.want, c.why)
			}
			if strings.Contains(r.Detail, c.code[2:]) {
				t.Error("the detail holds the code")
			}
		})
	}
}

func TestUnreadableCodeIsRefused(t *testing.T) {
	for _, code := range []codespec.Code{{}, {Format: codespec.FormatUnknown, Raw: "?"}} {
		if r := sandboxed(t).Resolve(code, pay("acq-north", 1, tongma.CNY)); r.Refusal != tongma.CodeUnreadable {
			t.Error(r.Refusal)
		}
	}
	ride := codespec.Code{Format: codespec.FormatRide, Presentation: codespec.Consumer}
	if r := sandboxed(t).Resolve(ride, pay("acq-north", 1, tongma.CNY)); r.Refusal != tongma.CodeNotPayable {
		t.Error(r.Refusal)
	}
}

func TestCandidates(t *testing.T) {
	both := unifiedAccount("27", "2002") + object("29", object("00", "test@dev"))
	own := object("29", object("00", "test@dev")) + object("30", object("00", "A000000677010111")+object("01", "0066000000000"))
	for _, c := range []struct {
		name string
		code string
		q    Query
		edit []string
		want string
	}{
		{"wechat", wechatCode, in("CN", pay("acq-north", 100, tongma.CNY)), nil, "wechat/wechatpay"},
		{"at the limit", wechatCode, pay("acq-north", 50_000_00, tongma.CNY), nil, "wechat/wechatpay"},
		{"alipay, prefix decides", alipayCode, pay("acq-north", 100, tongma.CNY), nil, "alipay/antnet"},
		{"alipay or its sister", alipayEither, pay("acq-north", 100, tongma.CNY), nil, "alipay/antnet? alipayhk/antnet?"},
		{"the sister first by rank", alipayEither, pay("acq-north", 100, tongma.CNY), []string{"rank: 110", "rank: 40"}, "alipayhk/antnet? alipay/antnet?"},
		{"one left is still asked", alipayEither, pay("acq-north", 100, tongma.KWD), nil, "alipay/antnet?"},
		{"unionpay", unionpayCode, pay("acq-harbour", 100, tongma.VND), nil, "unionpay/unionnet"},
		{"unified payer code", tongbaoCode(t, "1001"), pay("acq-north", 100, tongma.KWD), nil, "tongbao/tongbao!"},
		{"unified payer code, rich", richCode(t, "1001"), pay("acq-north", 100, tongma.KWD), nil, "tongbao/tongbao!"},
		{"merchant's order of preference", merchantCode(object("31", object("00", "COM.QQ.WEIXIN.PAY"))+object("32", object("00", "com.alipay")), "156", "CN"), transfer("tongbao", 100, tongma.CNY), nil, "wechat/wechatpay alipay/antnet"},
		{"rank goes before it", merchantCode(object("31", object("00", "COM.QQ.WEIXIN.PAY"))+object("32", object("00", "com.alipay")), "156", "CN"), transfer("tongbao", 100, tongma.CNY), []string{"name: Alipay\n", "name: Alipay\n    rank: 9\n"}, "alipay/antnet wechat/wechatpay"},
		{"payer of the asker's own", tongbaoCode(t, "2002"), pay("acq-harbour", 100, tongma.HKD), nil, "harbour/acq-harbour!="},
		{"khqr", khqrCode, transfer("tongbao", 0, 0), nil, "khqr/bakongnet"},
		{"bill read as promptpay", merchantCode(object("30", object("00", "A000000677010112")+object("01", "099999999999990")), "764", "TH"), transfer("tongbao", 100, tongma.THB), nil, "promptpay/thainet"},
		{"link has no terms", wechatLink, transfer("tongbao", 100, tongma.CNY), nil, "wechat/wechatpay"},
		{"letters for a currency", merchantCode(unifiedAccount("26", "2001"), "CNY", "CN"), transfer("tongbao", 100, tongma.CNY), nil, "north/acq-north!"},
		{"unified template first", merchantCode(both, "840", "KH"), transfer("tongbao", 100, tongma.USD), []string{"countries: [CN, HK, JP, KW, TH, VN]", "countries: [CN, HK, JP, KH]"}, "harbour/acq-harbour! khqr/bakongnet"},
		{"unified template unusable", merchantCode(both, "840", "KH"), transfer("tongbao", 100, tongma.USD), nil, "khqr/bakongnet"},
		{"own scheme before others", merchantCode(own, "764", "TH"), transfer("thainet", 100, tongma.THB), []string{"[KHR, USD]\n    max_payment: {KHR", "[KHR, USD, THB]\n    max_payment: {KHR", "countries: [KH]", "countries: [KH, TH]"}, "promptpay/thainet= khqr/bakongnet"},
		{"suspended acquirer is still credited", khqrCode, transfer("tongbao", 0, 0), suspend("bakongnet"), "khqr/bakongnet"},
		{"suspended acquirer's payers still pay", wechatCode, pay("acq-north", 100, tongma.CNY), suspend("acq-north"), "wechat/wechatpay"},
		{"scheme that is always asked", wechatCode, pay("acq-north", 100, tongma.CNY), []string{"name: WeChat Pay\n", "name: WeChat Pay\n    consult: true\n"}, "wechat/wechatpay?"},
		{"prefix claimed by two", "9912345678901234", pay("acq-north", 100, tongma.CNY), []string{
			"name: WeChat Pay\n", "name: WeChat Pay\n    claims: [{prefix: 99, length: 16-18}]\n", "name: Tongbao\n", "name: Tongbao\n    claims: [{prefix: 99, length: 16}]\n"}, "tongbao/tongbao? wechat/wechatpay?"},
		{"longest claim", "9912345678901234", pay("acq-north", 100, tongma.CNY), []string{
			"name: WeChat Pay\n", "name: WeChat Pay\n    claims: [{prefix: 991, length: 16-18}]\n", "name: Tongbao\n", "name: Tongbao\n    claims: [{prefix: 99, length: 16}]\n"}, "wechat/wechatpay"},
		{"claim beside a rule", wechatCode, pay("acq-north", 100, tongma.CNY), []string{
			"name: Tongbao\n", "name: Tongbao\n    claims: [{prefix: \"13\", length: 18}]\n"}, "wechat/wechatpay? tongbao/tongbao?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := sandboxed(t, c.edit...)
			r := d.Resolve(decoded(t, d, c.code), c.q)
			if got := short(r); got != c.want || r.Refusal != tongma.NoReason {
				t.Errorf("%s, refusal %v (%s); want %s", got, r.Refusal, r.Detail, c.want)
			}
		})
	}
}

// short writes candidates as scheme/participant with ? for consult, ! for
// unified and = for on us.
func short(r Resolution) string {
	var words []string
	for _, c := range r.Candidates {
		w := string(c.Scheme) + "/" + string(c.Participant)
		if c.Consult {
			w += "?"
		}
		if c.Unified {
			w += "!"
		}
		if c.OnUs {
			w += "="
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// The scheme that came furthest gives the reason: one thing is in its way.
func TestMostSpecificRefusalWins(t *testing.T) {
	for _, c := range []struct {
		name string
		edit []string
		q    Query
		want tongma.Reason
	}{
		{"not accepted, over limit", []string{"accepts: [alipay, alipayhk,", "accepts: [alipayhk,"}, pay("acq-harbour", 29_000_00, tongma.CNY), tongma.OverSchemeLimit},
		{"over limit, currency", nil, pay("acq-harbour", 2_000_001, tongma.KWD), tongma.OverSchemeLimit},
		{"country, suspended", suspend("antnet"), in("FR", pay("acq-harbour", 100, tongma.CNY)), tongma.ParticipantSuspended},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := sandboxed(t, c.edit...)
			r := d.Explain(decoded(t, d, alipayEither), c.q)
			if r.Refusal != c.want || len(r.Tried) != 2 {
				t.Errorf("refused for %v, want %v; tried %+v", r.Refusal, c.want, r.Tried)
			}
		})
	}
	if len(Refusals()) != len(refusals) || specificity(tongma.OverCap) != -1 {
		t.Error("the order of refusals is not closed")
	}
}

func TestExplainSaysWhyNotTheOthers(t *testing.T) {
	d := sandboxed(t)
	code := decoded(t, d, merchantCode(object("15", strings.Repeat("4", 31))+object("29", object("00", "test@dev"))+object("31", object("00", "sg.paynow")), "840", "KH"))
	r := d.Explain(code, transfer("acq-harbour", 100, tongma.USD))
	if got := short(r); got != "unionpay/unionnet" {
		t.Fatal(got, r.Detail)
	}
	if want := "directory 1: unionpay by mpm.unionpay.1"; r.Detail != want {
		t.Errorf("%q, want %q", r.Detail, want)
	}
	want := []Tried{
		{Scheme: "khqr", Rule: "mpm.khqr.1", Path: "29", Reason: tongma.SchemeNotAccepted, Why: "acq-harbour does not accept khqr"},
		{Scheme: "paynow", Rule: "mpm.paynow.1", Path: "31", Reason: tongma.IssuerUnknown, Why: "directory 1 has no scheme that reads codes of paynow"},
	}
	if !reflect.DeepEqual(r.Tried, want) {
		t.Errorf("tried %+v", r.Tried)
	}
}

func TestExplainAgreesWithResolve(t *testing.T) {
	d := sandboxed(t)
	for _, raw := range []string{wechatCode, alipayEither, khqrCode, promptpay, wechatLink, productCode, tongbaoCode(t, "1001")} {
		code := decoded(t, d, raw)
		for _, op := range []tongma.Operation{tongma.OpPay, tongma.OpTransfer, tongma.OpResolve} {
			for _, p := range d.Participants() {
				q := Query{Asker: p.ID, Op: op, Amount: tongma.Money{Minor: 100, Currency: tongma.THB}}
				fast, full := d.Resolve(code, q), d.Explain(code, q)
				full.Tried = nil
				if fast.Refusal == tongma.NoReason {
					full.Detail = ""
				}
				if !reflect.DeepEqual(fast, full) {
					t.Fatalf("resolve %+v, explain %+v", fast, full)
				}
			}
		}
	}
}

// A past payment's routing can be worked out again, whatever was added since.
func TestReplayOnPastVersion(t *testing.T) {
	r := NewMemoryRegistry()
	if _, err := r.Add(Sandbox()); err != nil {
		t.Fatal(err)
	}
	q := pay("acq-north", 100, tongma.CNY)
	then := r.Current().Resolve(decoded(t, r.Current(), wechatCode), q)
	if _, err := r.Add(edited(t, suspend("wechatpay")...)); err != nil {
		t.Fatal(err)
	}
	now := r.Current().Resolve(decoded(t, r.Current(), wechatCode), q)
	if now.Refusal != tongma.ParticipantSuspended || now.Directory != 2 {
		t.Fatalf("now: %+v", now)
	}
	first, ok := r.At(1)
	if !ok {
		t.Fatal("version 1 is gone")
	}
	if again := first.Resolve(decoded(t, first, wechatCode), q); !reflect.DeepEqual(then, again) || again.Directory != 1 {
		t.Errorf("then %+v, again %+v", then, again)
	}
}

// The order of participants and schemes in the file has no say in the ranking.
func TestRankingIsDeterministic(t *testing.T) {
	d := sandboxed(t)
	code := decoded(t, d, alipayEither)
	want := d.Explain(code, pay("acq-north", 100, tongma.CNY))
	head, blocks := schemeBlocks(t)
	rapid.Check(t, func(t *rapid.T) {
		text := head
		for _, i := range rapid.Permutation(indices(len(blocks))).Draw(t, "order") {
			text += blocks[i]
		}
		other, err := Parse(1, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := other.Explain(code, pay("acq-north", 100, tongma.CNY)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, want %+v", got, want)
		}
	})
}

// schemeBlocks cuts the sandbox into all but the schemes, and each of them.
func schemeBlocks(t *testing.T) (head string, blocks []string) {
	head, rest, ok := strings.Cut(string(Sandbox()), "\nschemes:\n")
	if !ok {
		t.Fatal("the sandbox has no schemes")
	}
	rest, tail, ok := strings.Cut(rest, "\n# What payments cost")
	if !ok {
		t.Fatal("nothing stands behind the schemes")
	}
	for _, b := range strings.Split(rest+"\n", "  - id: ")[1:] {
		blocks = append(blocks, "  - id: "+b)
	}
	return head + "\n#" + tail + "\nschemes:\n", blocks
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Whatever a code was changed to, Resolve answers: candidates or a refusal, never
// both and never neither, and the same each time.
func TestMutatedCodesNeverPanic(t *testing.T) {
	d := sandboxed(t, "name: Tongbao\n", "name: Tongbao\n    claims: [{prefix: 99, length: 16-20}]\n")
	seeds := []string{wechatCode, alipayEither, khqrCode, promptpay, wechatLink, productCode, tongbaoCode(t, "1001"),
		merchantCode(unifiedAccount("26", "2001"), "156", "CN"), "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8="}
	rapid.Check(t, func(t *rapid.T) {
		raw := []byte(rapid.SampledFrom(seeds).Draw(t, "seed"))
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			i := rapid.IntRange(0, len(raw)-1).Draw(t, "at")
			raw[i] = rapid.Byte().Draw(t, "byte")
		}
		text := string(raw)
		if strings.HasPrefix(text, "00") && len(text) > 8 && rapid.Bool().Draw(t, "repair") {
			body := text[:len(text)-4]
			text = body + strings.ToUpper(hex4(emv.CRC(body)))
		}
		code, _ := d.Decode(text) // even what must not be paid must not make Resolve panic
		q := Query{
			Asker:   rapid.SampledFrom([]tongma.ParticipantID{"acq-north", "tongbao", "acq-harbour", ""}).Draw(t, "asker"),
			Op:      rapid.SampledFrom([]tongma.Operation{tongma.OpPay, tongma.OpTransfer, tongma.OpResolve, 99}).Draw(t, "op"),
			Amount:  tongma.Money{Minor: rapid.Int64().Draw(t, "minor"), Currency: tongma.Currency(rapid.Uint16().Draw(t, "currency"))},
			Country: rapid.SampledFrom([]string{"", "CN", "KH", "zz9"}).Draw(t, "country"),
		}
		r := d.Explain(code, q)
		if (len(r.Candidates) == 0) == (r.Refusal == tongma.NoReason) {
			t.Fatalf("%+v", r)
		}
		if again := d.Explain(code, q); !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v, then %+v", r, again)
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	d := sandboxed(b)
	for _, c := range []struct {
		name, code string
		q          Query
	}{
		{"numeric", wechatCode, in("CN", pay("acq-north", 100, tongma.CNY))},
		{"ambiguous", alipayEither, in("CN", pay("acq-harbour", 100, tongma.CNY))},
		{"unified", tongbaoCode(b, "1001"), in("CN", pay("acq-north", 100, tongma.CNY))},
		{"merchant", khqrCode, transfer("tongbao", 100, 116)},
		{"refused", wechatCode, pay("acq-north", 50_000_01, tongma.CNY)},
	} {
		b.Run(c.name, func(b *testing.B) {
			code := decoded(b, d, c.code)
			b.ReportAllocs()
			for b.Loop() {
				d.Resolve(code, c.q)
			}
		})
	}
}

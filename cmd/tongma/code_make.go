package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/paycode"
	"github.com/tongma/tongma/codespec/render"
	"github.com/tongma/tongma/codespec/tlv"
)

func newCodeMakeCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "make",
		Short: "Make a merchant's or a payer's code, as text and as a picture",
		Example: `  tongma code make merchant --acquirer 2001 --merchant SHOP8821 --name "CORNER SHOP" --city SHANGHAI --currency CNY
  tongma code make payer --issuer 1001 --png payer.png
  tongma code make cpm --issuer 1001 --token 123456789012`,
	}, newMakeMerchantCmd(a), newMakePayerCmd(a), newMakeCPMCmd(a))
}

// newMakeMerchantCmd makes the unified merchant code: one code that carries every
// scheme's account side by side.
func newMakeMerchantCmd(a *app) *cobra.Command {
	var d emv.Draft
	var u codespec.UnifiedAccount
	var accounts []string
	var currency, amount, order, local string
	var pic picture
	cmd := &cobra.Command{
		Use:   "merchant",
		Short: "Make a merchant's code that many schemes' wallets can read",
		Example: `  tongma code make merchant --acquirer 2001 --merchant SHOP8821 --till T03 --name "CORNER SHOP" --city SHANGHAI --currency CNY
  tongma code make merchant --acquirer 2001 --merchant SHOP8821 --name "CORNER SHOP" --city SHANGHAI --currency CNY \
    --amount 23.72 --order ORDER20261122 --svg till.svg
  tongma code make merchant --acquirer 2001 --merchant SHOP8821 --name CAFE --city BANGKOK --country TH --currency THB \
    --account 15=1234567812345678123456789012345 --account com.alipay:01=https://qr.alipay.com/ocx000`,
		Long: `The code is an EMVCo merchant-presented code of codespec/SPEC.md section 2. The unified template comes
first; each --account adds another scheme, in the order in which readers should prefer them:

  ID=VALUE                 a primitive account, 02 to 25
  OWNER:SUB=VALUE,...      a template of that owner with its sub-objects; it takes the next free ID from 26

With --amount the code is for one payment.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cur, err := currencyOf(currency)
			if err != nil {
				return err
			}
			d.Currency = cur.Number()
			if amount != "" {
				m, err := amountOf(amount, cur)
				if err != nil {
					return err
				}
				d.Amount, d.Dynamic = m.Decimal(), true
			}
			if d.Accounts, err = makeAccounts(u, accounts); err != nil {
				return err
			}
			if err := addText(&d, order, u.Till, local); err != nil {
				return err
			}
			m, err := d.Build()
			if err != nil {
				return failf(exitUsage, "no such code can be made: %s", err.Error())
			}
			text, err := m.Encode()
			if err != nil {
				return failf(exitUsage, "no such code can be made: %s", err.Error())
			}
			return a.showMade(codespec.FormatMPM, text, pic)
		},
	}
	f := cmd.Flags()
	f.StringVar(&u.Acquirer, "acquirer", "", "acquirer's number in the unified format, four digits")
	f.StringVar(&u.Merchant, "merchant", "", "the acquirer's own id of the shop, at most 24 letters and digits")
	f.StringVar(&u.Till, "till", "", "point of acceptance, at most 8 letters and digits")
	f.StringArrayVar(&accounts, "account", nil, "another scheme's account; may be repeated")
	f.StringVar(&d.Name, "name", "", "shop's name, at most 25 ASCII characters")
	f.StringVar(&d.City, "city", "", "city, at most 15 ASCII characters")
	f.StringVar(&d.Country, "country", "CN", "ISO 3166-1 country, two letters")
	f.StringVar(&d.MCC, "mcc", "5411", "merchant category, ISO 18245")
	f.StringVar(&currency, "currency", "", "ISO 4217 currency: CNY")
	f.StringVar(&amount, "amount", "", "amount in major units: 12.50; without it the payer types it")
	f.StringVar(&order, "order", "", "order reference, at most 25 characters")
	f.StringVar(&local, "local", "", "name and city in another script: zh:街角小店:上海")
	pic.flags(cmd, "qr")
	require(cmd, "acquirer", "merchant", "name", "city", "currency")
	completeCurrency(cmd)
	return cmd
}

// makeAccounts puts the unified account before the others.
func makeAccounts(u codespec.UnifiedAccount, specs []string) ([]emv.Account, error) {
	first, err := u.Account()
	if err != nil {
		return nil, failf(exitUsage, "--acquirer is four digits, --merchant 1 to 24 and --till at most 8 letters and digits")
	}
	list := []emv.Account{first}
	for _, spec := range specs {
		account, err := accountOf(spec)
		if err != nil {
			return nil, err
		}
		list = append(list, account)
	}
	slices.SortStableFunc(list, func(a, b emv.Account) int { // primitive accounts have the lower IDs, and go first
		return len(b.ID) - len(a.ID)
	})
	return list, nil
}

func accountOf(spec string) (emv.Account, error) {
	bad := failf(exitUsage, "--account is ID=VALUE or OWNER:SUB=VALUE,SUB=VALUE").then(
		"--account 15=1234567812345678123456789012345", "--account com.alipay:01=https://qr.alipay.com/ocx000")
	id, value, found := strings.Cut(spec, "=")
	if found && len(id) == 2 && paycode.AllDigits(id) && value != "" {
		return emv.Account{ID: id, Value: value}, nil
	}
	owner, fields, found := strings.Cut(spec, ":")
	if !found || owner == "" {
		return emv.Account{}, bad
	}
	account := emv.Account{GUID: owner}
	for _, part := range strings.Split(fields, ",") {
		id, value, found := strings.Cut(part, "=")
		if !found || len(id) != 2 || !paycode.AllDigits(id) || value == "" {
			return emv.Account{}, bad
		}
		account.Fields = append(account.Fields, tlv.Object{ID: id, Value: value})
	}
	return account, nil
}

// addText adds what stands in 62 and 64.
func addText(d *emv.Draft, order, till, local string) error {
	if order != "" {
		d.Additional = append(d.Additional, tlv.Object{ID: "05", Value: order})
	}
	if till != "" {
		d.Additional = append(d.Additional, tlv.Object{ID: "07", Value: till})
	}
	if local == "" {
		return nil
	}
	parts := strings.SplitN(local, ":", 3)
	if len(parts) < 2 {
		return failf(exitUsage, "--local is LANGUAGE:NAME or LANGUAGE:NAME:CITY").then("--local zh:街角小店:上海")
	}
	d.Language = &emv.Language{Code: parts[0], Name: parts[1]}
	if len(parts) == 3 {
		d.Language.City = parts[2]
	}
	return nil
}

// newMakePayerCmd makes the digits of the unified format.
func newMakePayerCmd(a *app) *cobra.Command {
	var issuer, token string
	var pic picture
	cmd := &cobra.Command{
		Use:   "payer",
		Short: "Make a payer's one-time code: twenty digits",
		Example: `  tongma code make payer --issuer 1001
  tongma code make payer --issuer 1001 --token 123456789012 --symbol code128 --png payer.png`,
		Long: `The digits are those of codespec/SPEC.md section 3: 77, the issuer, a one-time token, two check digits.
A token means something to its issuer only. Without --token it is drawn at random, for trying
things out: a real issuer's app makes tokens that only it can open.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if token == "" {
				token = randomDigits(paycode.TokenDigits)
			}
			c, err := paycode.MakeUnified(issuer, token)
			if err != nil {
				return failf(exitUsage, "%s", strings.TrimPrefix(err.Error(), "paycode: "))
			}
			return a.showMade(codespec.FormatUnifiedPayCode, c.Digits, pic)
		},
	}
	payerFlags(cmd, &issuer, &token)
	pic.flags(cmd, "qr or code128")
	return cmd
}

// newMakeCPMCmd makes the rich form of a payer's code.
func newMakeCPMCmd(a *app) *cobra.Command {
	var issuer, token, extra string
	var pic picture
	cmd := &cobra.Command{
		Use:   "cpm",
		Short: "Make a payer's code as an EMVCo consumer-presented code",
		Example: `  tongma code make cpm --issuer 1001
  tongma code make cpm --issuer 1001 --token 123456789012 --issuer-data 9F100101`,
		Long: `The code is that of codespec/SPEC.md section 4: the twenty digits under the unified application, and what
the issuer wants to get back unread.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if token == "" {
				token = randomDigits(paycode.TokenDigits)
			}
			data, err := hex.DecodeString(extra)
			if err != nil {
				return failf(exitUsage, "--issuer-data is BER-TLV in hex")
			}
			nodes, err := tlv.ParseBER(data, 0)
			if err != nil {
				return failf(exitUsage, "--issuer-data is not BER-TLV")
			}
			c, err := codespec.UnifiedCPM(issuer, token, nodes)
			if err != nil {
				return failf(exitUsage, "%s", strings.TrimPrefix(err.Error(), "paycode: "))
			}
			return a.showMade(codespec.FormatCPM, c.Encode(), pic)
		},
	}
	payerFlags(cmd, &issuer, &token)
	cmd.Flags().StringVar(&extra, "issuer-data", "", "objects for the issuer, BER-TLV in hex")
	pic.flags(cmd, "qr")
	return cmd
}

func payerFlags(cmd *cobra.Command, issuer, token *string) {
	cmd.Flags().StringVar(issuer, "issuer", "", "issuer's number in the unified format, four digits")
	cmd.Flags().StringVar(token, "token", "", "one-time token, twelve digits; default: random")
	require(cmd, "issuer")
}

func randomDigits(n int) string {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
	v, _ := rand.Int(rand.Reader, limit) // the system's source never fails, by its documentation
	return fmt.Sprintf("%0*d", n, v)
}

// picture is where and how a code is drawn.
type picture struct {
	png, svg string
	symbol   string
	scale    int
	qr       string // auto, always or never
}

func (p *picture) flags(cmd *cobra.Command, symbols string) {
	f := cmd.Flags()
	f.StringVar(&p.png, "png", "", "write a PNG image to this file")
	f.StringVar(&p.svg, "svg", "", "write an SVG image to this file")
	f.IntVar(&p.scale, "scale", 8, "pixels a module of the PNG, 1 to 64")
	f.StringVar(&p.qr, "draw", "auto", "draw the code on the terminal: auto, always or never")
	f.StringVar(&p.symbol, "symbol", "qr", "what to draw: "+symbols)
}

func (p *picture) draw(text string) (*render.Symbol, error) {
	switch p.symbol {
	case "qr":
		return render.QR(text, render.M)
	case "code128":
		return render.Code128(text)
	}
	return nil, failf(exitUsage, `--symbol is "qr" or "code128"`)
}

type made struct {
	Format codespec.Format `json:"format"`
	Code   string          `json:"code"`
	PNG    string          `json:"png,omitempty"`
	SVG    string          `json:"svg,omitempty"`
}

// showMade writes the pictures that were asked for, and the code to stdout; on a
// terminal with a symbol to scan.
func (a *app) showMade(format codespec.Format, text string, p picture) error {
	symbol, err := p.draw(text)
	if err != nil {
		if exitCodeOf(err) == exitUsage {
			return err
		}
		return failf(exitUsage, "the code cannot be drawn: %s", strings.TrimPrefix(err.Error(), "render: "))
	}
	if err := writeFile(p.png, func(w io.Writer) error { return symbol.PNG(w, p.scale) }); err != nil {
		return err
	}
	if err := writeFile(p.svg, symbol.SVG); err != nil {
		return err
	}
	a.print(made{format, text, p.png, p.svg}, func(w io.Writer) {
		if p.qr == "always" || (p.qr == "auto" && terminal(w) && p.png == "" && p.svg == "") {
			_ = symbol.Terminal(w, true)
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, text)
	})
	return nil
}

// writeFile makes a file whole or not at all. No name, no file.
func writeFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".tongma-*")
	if err != nil {
		return fileError(err)
	}
	defer os.Remove(f.Name())
	if err := write(f); err != nil {
		f.Close()
		return failf(exitUsage, "%s: %s", name, strings.TrimPrefix(err.Error(), "render: "))
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return fileError(err)
	}
	if err := f.Close(); err != nil {
		return fileError(err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fileError(err)
	}
	return nil
}

// currencyOf reads a currency's letters, and suggests when there is none.
func currencyOf(code string) (tongma.Currency, error) {
	c, ok := tongma.CurrencyByCode(strings.ToUpper(code))
	if ok {
		return c, nil
	}
	return 0, failf(exitUsage, "%q is not a currency of ISO 4217", clean(code)).then("three letters: CNY, HKD, JPY, USD")
}

func amountOf(s string, c tongma.Currency) (tongma.Money, error) {
	m, err := tongma.ParseMoney(s, c)
	if err == nil {
		err = m.Payable()
	}
	return m, ofFlag("--amount", s, err)
}

// require marks flags that a command cannot do without.
func require(cmd *cobra.Command, names ...string) {
	for _, n := range names {
		_ = cmd.MarkFlagRequired(n) // fails only for a flag that is not there, which the tests would show
	}
}

// completeCurrency offers the currencies of ISO 4217 to the shell.
func completeCurrency(cmd *cobra.Command) {
	choices(cmd, "currency", currencyCodes()...)
}

func currencyCodes() (codes []string) {
	for _, c := range tongma.Currencies() {
		codes = append(codes, c.Code())
	}
	return codes
}

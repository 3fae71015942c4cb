package store

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Typed is a table whose records are seen as values of a Go struct. The struct's exported fields are the record's
// attributes in order, the key first; a field's attribute is its name in lower case, or what its tag `store:"name"`
// says. The records themselves stay ordinary ones: other nodes and the shell see tuples.
//
//	type Account struct {
//		ID      string
//		Balance int
//	}
//	accounts := store.TableOf[Account]("account")
type Typed[T any] struct {
	name   string
	record term.Atom
	fields []int
	attrs  []string
}

// TableOf describes the table of a struct type. It panics when T is no struct with at least two exported fields,
// which is a mistake in the program.
func TableOf[T any](name string) Typed[T] {
	typ := reflect.TypeFor[T]()
	if typ.Kind() != reflect.Struct {
		panic(fmt.Sprintf("store: %v is no struct", typ))
	}
	t := Typed[T]{name: name, record: term.Atom(name)}
	for i := range typ.NumField() {
		f := typ.Field(i)
		if !f.IsExported() {
			continue
		}
		attr := f.Tag.Get("store")
		if attr == "" {
			attr = strings.ToLower(f.Name)
		}
		t.fields = append(t.fields, i)
		t.attrs = append(t.attrs, attr)
	}
	if len(t.fields) < 2 {
		panic(fmt.Sprintf("store: %v has no two exported fields", typ))
	}
	return t
}

// Name gives the table's name.
func (t Typed[T]) Name() string { return t.name }

// Table gives a description of the table to create, with the struct's attributes; add copies and indexes to it.
func (t Typed[T]) Table() Table { return Table{Name: t.name, Attributes: t.attrs} }

// Record gives the record of a value.
func (t Typed[T]) Record(v T) (term.Tuple, error) {
	rv := reflect.ValueOf(v)
	r := term.Tuple{t.record}
	for _, i := range t.fields {
		f, err := toTerm(rv.Field(i))
		if err != nil {
			return nil, &kit.Error{Op: "make record", What: t.name, Kind: kit.Invalid, Err: err}
		}
		r = append(r, f)
	}
	return r, nil
}

// Value gives the value of a record.
func (t Typed[T]) Value(r term.Tuple) (T, error) {
	var v T
	if len(r) != len(t.fields)+1 {
		return v, t.bad(r, fmt.Errorf("it has %d fields, not %d", len(r)-1, len(t.fields)))
	}
	rv := reflect.ValueOf(&v).Elem()
	for k, i := range t.fields {
		if err := fromTerm(rv.Field(i), r[k+1]); err != nil {
			return v, t.bad(r, fmt.Errorf("%s: %w", t.attrs[k], err))
		}
	}
	return v, nil
}

func (t Typed[T]) bad(r term.Tuple, err error) error {
	return &kit.Error{Op: "read record", What: term.String(r), Kind: kit.Invalid, Err: err}
}

// Read gives the values with a key: at most one, but in a bag.
func (t Typed[T]) Read(tx *Tx, key any, lk ...Lock) ([]T, error) {
	k, err := term.FromGo(key)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Read(t.name, k, lk...)
	if err != nil {
		return nil, err
	}
	return t.values(rows)
}

// Get gives the value with a key, and whether there is one.
func (t Typed[T]) Get(tx *Tx, key any, lk ...Lock) (T, bool, error) {
	vs, err := t.Read(tx, key, lk...)
	if err != nil || len(vs) == 0 {
		var zero T
		return zero, false, err
	}
	return vs[0], true, nil
}

// Write writes a value.
func (t Typed[T]) Write(tx *Tx, v T, lk ...Lock) error {
	r, err := t.Record(v)
	if err != nil {
		return err
	}
	return tx.Write(t.name, r, lk...)
}

// Delete deletes the values with a key.
func (t Typed[T]) Delete(tx *Tx, key any, lk ...Lock) error {
	k, err := term.FromGo(key)
	if err != nil {
		return err
	}
	return tx.Delete(t.name, k, lk...)
}

// All gives all values of the table.
func (t Typed[T]) All(tx *Tx) ([]T, error) {
	rows, err := tx.everything(t.name)
	if err != nil {
		return nil, err
	}
	return t.values(rows)
}

// ByIndex gives the values that have a value in an indexed attribute.
func (t Typed[T]) ByIndex(tx *Tx, attr string, value any) ([]T, error) {
	v, err := term.FromGo(value)
	if err != nil {
		return nil, err
	}
	rows, err := tx.IndexRead(t.name, v, term.Atom(attr))
	if err != nil {
		return nil, err
	}
	return t.values(rows)
}

// DirtyRead gives the values with a key, without a lock.
func (t Typed[T]) DirtyRead(ctx context.Context, s *Store, key any) ([]T, error) {
	k, err := term.FromGo(key)
	if err != nil {
		return nil, err
	}
	rows, err := s.DirtyRead(ctx, t.name, k)
	if err != nil {
		return nil, err
	}
	return t.values(rows)
}

// DirtyWrite writes a value without a lock.
func (t Typed[T]) DirtyWrite(ctx context.Context, s *Store, v T) error {
	r, err := t.Record(v)
	if err != nil {
		return err
	}
	return s.DirtyWrite(ctx, t.name, r)
}

func (t Typed[T]) values(rows []term.Tuple) ([]T, error) {
	vs := make([]T, 0, len(rows))
	for _, r := range rows {
		v, err := t.Value(r)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

var termType = reflect.TypeFor[term.Term]()

// toTerm gives a field's term; a field that is a term stays as it is.
func toTerm(v reflect.Value) (term.Term, error) {
	if v.Type().Implements(termType) {
		if t, ok := v.Interface().(term.Term); ok {
			return t, nil
		}
	}
	return term.FromGo(v.Interface())
}

// fromTerm sets a field from a term.
func fromTerm(v reflect.Value, t term.Term) error {
	tv := reflect.ValueOf(t)
	if tv.IsValid() && tv.Type().AssignableTo(v.Type()) {
		v.Set(tv)
		return nil
	}
	wrong := fmt.Errorf("%s is no %s", term.String(t), v.Type())
	switch x := t.(type) {
	case term.Int:
		switch {
		case v.CanInt() && !v.OverflowInt(int64(x)):
			v.SetInt(int64(x))
		case v.CanUint() && x >= 0 && !v.OverflowUint(uint64(x)):
			v.SetUint(uint64(x))
		case v.CanFloat():
			v.SetFloat(float64(x))
		default:
			return wrong
		}
	case term.Float:
		if !v.CanFloat() {
			return wrong
		}
		v.SetFloat(float64(x))
	case term.Bin:
		return fromText(v, string(x), wrong)
	case term.Atom:
		if v.Kind() == reflect.Bool && (x == "true" || x == "false") {
			v.SetBool(x == "true")
			return nil
		}
		return fromText(v, string(x), wrong)
	case term.List:
		if v.Kind() != reflect.Slice {
			return wrong
		}
		s := reflect.MakeSlice(v.Type(), len(x), len(x))
		for i, e := range x {
			if err := fromTerm(s.Index(i), e); err != nil {
				return err
			}
		}
		v.Set(s)
	default:
		return wrong
	}
	return nil
}

func fromText(v reflect.Value, s string, wrong error) error {
	switch {
	case v.Kind() == reflect.String:
		v.SetString(s)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes([]byte(s))
	default:
		return wrong
	}
	return nil
}

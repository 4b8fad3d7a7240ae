//! The portfolio as Parquet files.

use super::{Party, Portfolio, Truth};
use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type},
    errors::Result,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

/// Rows of one party, column by column: what one thread makes while others make theirs.
#[derive(Debug)]
pub struct Columns {
    ids: Vec<ByteArray>,
    truths: Vec<Truth>,
    /// One a variable; NaN where it is missing.
    cells: Vec<Vec<f64>>,
}

impl Columns {
    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.ids.len() as u64
    }
}

impl Portfolio {
    /// Those of `rows` that the party holds.
    pub fn columns(&self, party: Party, rows: Range<u64>) -> Columns {
        let mut out = Columns {
            ids: Vec::new(),
            truths: Vec::new(),
            cells: vec![Vec::new(); party.width()],
        };
        let mut cells = vec![0.0; party.width()];
        for row in rows.filter(|&row| self.holds(party, row)) {
            out.ids.push(self.customer_id(row).into_bytes().into());
            if party == Party::Bank {
                out.truths.push(self.truth(row));
            }
            self.fill(party, row, &mut cells);
            for (column, cell) in out.cells.iter_mut().zip(&cells) {
                column.push(*cell);
            }
        }
        out
    }
}

/// Writes a party's file, some rows after others. The bank's file has `id`, `bank`, `month` and `y` first,
/// the others' `id`; unordered codes are whole numbers, so that they can be categories, all else is
/// floating point.
pub struct ParquetFile<W: Write + Send> {
    party: Party,
    writer: SerializedFileWriter<W>,
}

impl<W: Write + Send> std::fmt::Debug for ParquetFile<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile")
            .field("party", &self.party)
            .finish_non_exhaustive()
    }
}

impl<W: Write + Send> ParquetFile<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(party: Party, out: W) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("paripassu data synth".into())
            .build();
        let writer = SerializedFileWriter::new(out, schema(party)?, Arc::new(properties))?;
        Ok(Self { party, writer })
    }

    /// Appends rows as a row group.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn append(&mut self, rows: &[Columns]) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        let ids: Vec<ByteArray> = rows.iter().flat_map(|r| r.ids.iter().cloned()).collect();
        put::<ByteArrayType>(&mut group, &ids, None)?;
        if self.party == Party::Bank {
            let parts: [fn(&Truth) -> u8; 3] = [|t| t.bank, |t| t.month, |t| t.bad];
            for part in parts {
                let truths = rows.iter().flat_map(|r| &r.truths);
                let values: Vec<i32> = truths.map(|t| i32::from(part(t))).collect();
                put::<Int32Type>(&mut group, &values, None)?;
            }
        }
        for (at, variable) in self.party.variables().enumerate() {
            let cells = || rows.iter().flat_map(|r| &r.cells[at]);
            let levels: Vec<i16> = cells().map(|x| i16::from(!x.is_nan())).collect();
            let held = cells().filter(|x| !x.is_nan());
            match variable.is_unordered() {
                true => {
                    let values: Vec<i32> = held.map(|x| *x as i32).collect();
                    put::<Int32Type>(&mut group, &values, Some(&levels))?;
                }
                false => {
                    let values: Vec<f64> = held.copied().collect();
                    put::<DoubleType>(&mut group, &values, Some(&levels))?;
                }
            }
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file and gives back what it was written to.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(self) -> Result<W> {
        self.writer.into_inner()
    }
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let Some(mut column) = group.next_column()? else {
        return Ok(());
    };
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

fn schema(party: Party) -> Result<TypePtr> {
    let column = |name: &str, physical, repetition, logical| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    };
    let (always, perhaps) = (Repetition::REQUIRED, Repetition::OPTIONAL);
    let text = Some(LogicalType::String);
    let mut fields = vec![column("id", Physical::BYTE_ARRAY, always, text)?];
    if party == Party::Bank {
        for name in ["bank", "month", "y"] {
            fields.push(column(name, Physical::INT32, always, None)?);
        }
    }
    for variable in party.variables() {
        let physical = match variable.is_unordered() {
            true => Physical::INT32,
            false => Physical::DOUBLE,
        };
        fields.push(column(&variable.name(), physical, perhaps, None)?);
    }
    let schema = Type::group_type_builder("portfolio").with_fields(fields);
    schema.build().map(Arc::new)
}

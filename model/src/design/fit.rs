//! Fitting a design on training rows.

use super::*;

impl Design {
    /// Fits on `rows` of `table`: first the numbers of `numeric`, then their missing flags, then
    /// the levels of `categorical`, in the order given.
    ///
    /// # Errors
    /// [`DesignError::NoRows`], [`DesignError::Row`], [`DesignError::NoColumn`],
    /// [`DesignError::Type`], and [`DesignError::Constant`] where such are refused.
    pub fn fit<S: AsRef<str>>(
        table: &Table,
        rows: &[usize],
        numeric_columns: &[S],
        categorical_columns: &[S],
        options: DesignOptions,
    ) -> Result<Self, DesignError> {
        if rows.is_empty() {
            return Err(DesignError::NoRows);
        }
        check_rows(table, rows)?;
        let mut columns = Vec::new();
        let mut flags = Vec::new();
        for name in numeric_columns.iter().map(AsRef::as_ref) {
            let values = numeric(table, name)?;
            let mut present: Vec<f64> = rows
                .iter()
                .map(|&i| values[i])
                .filter(|v| !v.is_nan())
                .collect();
            let column = name.to_owned();
            if present.len() < rows.len() {
                let source = Source::MissingFlag {
                    column: column.clone(),
                };
                flags.push((format!("{name}__missing"), source));
            }
            let fill = median(&mut present);
            columns.push((column.clone(), Source::Numeric { column, fill }));
        }
        columns.append(&mut flags);
        for name in categorical_columns.iter().map(AsRef::as_ref) {
            columns.extend(level_columns(table, rows, name, options.rare_level_rows)?);
        }
        let mut design = Self {
            columns: Vec::new(),
            constant: Vec::new(),
            train_rows: rows.len(),
        };
        for (name, source) in columns {
            design.push(table, rows, name, source, options.constant)?;
        }
        Ok(design)
    }

    /// Fits on all columns of a table but these, in its order.
    ///
    /// # Errors
    /// As [`Design::fit`].
    pub fn fit_all(
        table: &Table,
        rows: &[usize],
        without: &[&str],
        options: DesignOptions,
    ) -> Result<Self, DesignError> {
        let is_number = |c: &&crate::table::Column| matches!(c.data(), ColumnData::Numeric(_));
        let columns = table.columns().iter();
        let columns = columns.filter(|c| !without.contains(&c.name()));
        let (numbers, categories): (Vec<_>, Vec<_>) = columns.partition(is_number);
        let names = |side: &[&crate::table::Column]| {
            side.iter().map(|c| c.name().to_owned()).collect::<Vec<_>>()
        };
        Self::fit(table, rows, &names(&numbers), &names(&categories), options)
    }

    /// The weight of evidence of binned columns, each with its mean over `rows` taken off and on its own
    /// scale, so that a ridge weighs coefficients of weight of evidence alike. A column that is the same on
    /// all these rows is left out.
    ///
    /// # Errors
    /// [`DesignError::NoRows`], [`DesignError::Row`], [`DesignError::Bins`].
    pub fn of_woe(
        table: &Table,
        rows: &[usize],
        columns: impl IntoIterator<Item = Binned>,
    ) -> Result<Self, DesignError> {
        if rows.is_empty() {
            return Err(DesignError::NoRows);
        }
        check_rows(table, rows)?;
        let mut design = Self::given(Vec::new(), Vec::new(), rows.len());
        for binned in columns {
            let name = format!("{}__woe", binned.binning.column);
            let source = Source::Woe(binned);
            design.push(table, rows, name, source, ConstantColumns::Drop)?;
        }
        design.columns.iter_mut().for_each(|c| c.sd = 1.0);
        Ok(design)
    }

    /// Adds a column with its training mean and deviation.
    fn push(
        &mut self,
        table: &Table,
        rows: &[usize],
        name: String,
        source: Source,
        constant_columns: ConstantColumns,
    ) -> Result<(), DesignError> {
        let bound = bind(table, &source)?;
        let values = || rows.iter().map(|&i| bound.value(i));
        let n = rows.len() as f64;
        let first = bound.value(rows[0]);
        // Told by comparison: the sum of squares of a constant column may not round to zero.
        let (mean, sd) = if values().all(|v| v == first) {
            self.constant.push(name.clone());
            match constant_columns {
                ConstantColumns::Drop => return Ok(()),
                ConstantColumns::Keep => (first, 1.0),
                ConstantColumns::Refuse => {
                    return Err(DesignError::Constant {
                        name,
                        rows: rows.len(),
                    });
                }
            }
        } else {
            let mean = values().sum::<f64>() / n;
            (
                mean,
                (values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt(),
            )
        };
        self.columns.push(DesignColumn {
            name,
            source,
            mean,
            sd,
        });
        Ok(())
    }
}

/// The 0/1 columns of a category.
fn level_columns(
    table: &Table,
    rows: &[usize],
    name: &str,
    rare_level_rows: usize,
) -> Result<Vec<(String, Source)>, DesignError> {
    let (levels, codes) = categorical(table, name)?;
    // A level that the training rows lack has no column, whatever the limit.
    let least = rare_level_rows.max(1);
    let mut counts = vec![0usize; levels.len() + 1];
    for &i in rows {
        let code = if codes[i] == MISSING_CODE {
            levels.len()
        } else {
            codes[i] as usize
        };
        counts[code] += 1;
    }
    let names = levels.iter().map(String::as_str).chain([MISSING_LEVEL]);
    // A level whose text is the stand-in itself is one with it.
    let mut by_name = std::collections::BTreeMap::<&str, usize>::new();
    for (level, count) in names.zip(&counts) {
        *by_name.entry(level).or_default() += count;
    }
    let known: Vec<String> = by_name
        .iter()
        .filter(|(_, n)| **n >= least)
        .map(|(l, _)| (*l).to_owned())
        .collect();
    let has_other = by_name.values().any(|n| (1..least).contains(n));
    let mut columns: Vec<(String, Source)> = known
        .iter()
        .map(|level| {
            let source = Source::Level {
                column: name.to_owned(),
                level: level.clone(),
            };
            (format!("{name}={level}"), source)
        })
        .collect();
    if has_other {
        let source = Source::Other {
            column: name.to_owned(),
            known,
        };
        columns.push((format!("{name}={OTHER_LEVEL}"), source));
    }
    Ok(columns)
}

/// The middle value, or the mean of the two in the middle; 0 for none.
fn median(values: &mut [f64]) -> f64 {
    let (half, is_odd) = (values.len() / 2, values.len() % 2 == 1);
    if values.is_empty() {
        return 0.0;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    if is_odd {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (lower + upper) / 2.0
}
